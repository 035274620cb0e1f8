// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "sjd/hosts/llama.hpp"

namespace sjd::train {

/// Steps of one logit in the traces: logits are kept as 16-bit integers under the largest one.
inline constexpr float logit_step = 1.0F / 512.0F;

/// What a corrector head learns from: drafts whose neighbours changed between two passes, and the
/// law that the second pass gave them.
struct CorrectorTraces {
  std::int64_t hidden_dim = 0;
  std::int64_t vocab = 0;
  std::vector<std::int32_t> neighbours;  // [N], offsets to the left

  std::vector<Bf16> hidden;  // [rows, 2 hidden_dim]: the guided rows that predicted the left
                             // neighbour and the draft in the first pass
  std::vector<std::int16_t>
      logits;                     // [rows, vocab]: guided logits of the first pass, in logit_step
  std::vector<Bf16> target;       // [rows, vocab]: law of the second pass at temperature 1
  std::vector<std::int16_t> now;  // [rows, N], vocab = no token
  std::vector<std::int16_t> before;    // [rows, N]
  std::vector<std::uint8_t> distance;  // [rows], from the tip of the second pass, 1 = behind it

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(distance.size()); }
  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(neighbours.size()); }
  void append(const CorrectorTraces& other);
  /// Memory for this many rows, so that appending never copies what is there.
  void reserve(std::int64_t most_rows);
  void drop_oldest(std::int64_t count);

  /// Raw vectors, for a run that continues on this machine; load() refuses another shape.
  void save(std::ostream& out) const;
  void load(std::istream& in);
};

/// The reference host, writing traces of the decoder that runs on it, one sequence at a time.
class TraceModel {
 public:
  using Memory = HostMemory;
  using Prompt = hosts::LlamaHost::Prompt;

  /// Slots further from the tip than this are not recorded.
  static constexpr std::int64_t farthest = 40;

  explicit TraceModel(hosts::LlamaHost& host) : host_{&host} {}

  [[nodiscard]] std::int64_t vocab_size() const { return host_->vocab_size(); }
  [[nodiscard]] std::int64_t max_sequences() const { return 1; }
  [[nodiscard]] std::int64_t hidden_dim() const { return host_->hidden_dim(); }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return host_->embedding_table(); }
  [[nodiscard]] NoiseContract noise_contract() const { return host_->noise_contract(); }
  [[nodiscard]] hosts::CorrectorHead& corrector_head() { return host_->corrector_head(); }

  /// Rows go to `traces` from now on; `guidance` is what the decoder uses, empty = none.
  void record(CorrectorTraces& traces, std::span<const float> guidance);

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits);
  void forward(const ForwardPass<>& pass);

 private:
  /// One pass, as far as the next one needs it.
  struct Pass {
    Position first = -1;            // the tip; -1 = none yet
    std::vector<std::int32_t> fed;  // [rows], vocab = noise
    std::vector<float> logits;      // [rows, vocab], guided
    std::vector<float> hidden;      // [rows, hidden_dim], guided

    [[nodiscard]] Position end() const { return first + static_cast<Position>(fed.size()); }
  };

  void take(const ForwardPass<>& pass, Pass& out) const;
  void write_rows();
  [[nodiscard]] std::int32_t fed_at(const Pass& pass, Position position) const;
  bool write_neighbours(Position position);
  void write_law(Position predictor);

  hosts::LlamaHost* host_;
  CorrectorTraces* traces_ = nullptr;
  std::vector<float> guidance_;
  std::vector<std::int32_t> tokens_;  // committed before the tip of the current pass, the tip too
  Pass before_;
  Pass now_;
};

/// How one round of traces is made.
struct TraceOptions {
  std::uint64_t seed = 1;
  /// Picture number; decides prompt, guidance, noise, temperature.
  std::uint64_t first_picture = 0;
  double seconds = 60.0;
  std::int64_t most_rows = 1'000'000;  ///< of training; ends the run like the time does
  double invented = 0.5;               ///< share of captions that mix the words of two prompts
  std::int64_t window = 48;
  std::int64_t depth = 0;  ///< of the head that is in the loop; 0 = none
};

/// Tokens and forward passes of one kind of decode.
struct TraceYield {
  std::string name;
  std::int64_t tokens = 0;
  std::int64_t passes = 0;
};

/// Decodes training prompts until the time is over; every eighth picture goes to `held_out`.
///
/// returns  the number of pictures; yields are added to
std::uint64_t collect_traces(hosts::LlamaHost& host,
                             const std::vector<hosts::LlamaHost::Prompt>& prompts,
                             const TraceOptions& options, CorrectorTraces& train,
                             CorrectorTraces& held_out, std::vector<TraceYield>& yields);

/// The prompts of one list of a model directory ("train", "new_combinations") as word ids.
[[nodiscard]] std::vector<hosts::LlamaHost::Prompt> read_prompts(const std::filesystem::path& model,
                                                                 const std::string& list);

}  // namespace sjd::train
