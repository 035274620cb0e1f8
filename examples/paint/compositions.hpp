// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <sjd/policies/cost_aware_window.hpp>
#include <sjd/policies/noise_schedule.hpp>
#include <sjd/state.hpp>
#include <sjd/types.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace sjd::paint {

/// See engine.hpp; only the files that decode or load need the whole type.
class Engine;
using WordIds = std::vector<std::int32_t>;
using Request = GenerationRequest<WordIds>;
using OnIteration = std::function<bool(const IterationEvent&)>;

/// The numbers of a composition; one without a window or without noise leaves them alone.
struct Plan {
  std::int64_t window = 32;                  ///< W, rows a pass
  std::optional<CostAwareWindow> by_cost{};  ///< plans the window instead, where it is given
  std::int32_t levels = 1;                   ///< K, noise levels
  LevelDescent descent = LevelDescent::by_age;
  std::int32_t tokens_per_level = 4;
  std::int64_t depth = 16;  ///< drafts behind the tip that a corrector may redraw

  friend bool operator==(const Plan&, const Plan&) = default;
};

/// A denoiser or PlainAr whose type was chosen at run time.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;

  [[nodiscard]] virtual std::vector<GenerationResult> generate(std::span<const Request> requests,
                                                               const OnIteration& on_iteration) = 0;
  /// One sequence and one pass; see SpeculativeJacobiDenoiser.
  [[nodiscard]] virtual DecoderState start(std::int32_t sequence, const Request& request) = 0;
  virtual void step(std::span<DecoderState> inout_states) = 0;
};

/// One way to decode: what `paint --decoder --coupling` and the rows of `bench` choose from.
struct Composition {
  std::string_view name;      ///< "sjd2-maximal"
  std::string_view decoder;   ///< "ar", "jacobi", "sjd", "sjd2", "sjd2-ungated"
  std::string_view coupling;  ///< "none", "maximal", "corrected", "gumbel"
  std::string_view baseline;  ///< the composition that draws one token a pass with the same sampler
  std::string_view summary;   ///< a line for people
  bool is_lossless = false;   ///< from the trait of the type: tokens follow AR's law
  bool equals_ar = false;     ///< from the traits: tokens equal the baseline's for the same seed
  bool uses_window = false;
  bool uses_noise = false;
  bool uses_corrector = false;
  std::unique_ptr<Decoder> (*make)(Engine& engine, const Plan& plan) = nullptr;
};

/// All compositions; the first one of a decoder is that decoder's default.
[[nodiscard]] std::span<const Composition> compositions();

/// The composition of this name, or null.
[[nodiscard]] const Composition* find_composition(std::string_view name);

/// The composition of this pair, or null; an empty coupling means the decoder's default.
[[nodiscard]] const Composition* find_composition(std::string_view decoder,
                                                  std::string_view coupling);

/// What is decoded with if nobody says otherwise.
inline constexpr std::string_view default_decoder = "sjd2";

/// The upper bound of tokens a pass that the gate sets when levels fall by one an iteration.
///
/// source  docs/algorithm.md: N / (K + (N - K) K / W); W for a window without noise
[[nodiscard]] double pass_bound(const Composition& composition, const Plan& plan,
                                std::int64_t tokens);

}  // namespace sjd::paint
