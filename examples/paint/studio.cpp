// SPDX-License-Identifier: Apache-2.0
#include "studio.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <sjd/core/error.hpp>
#include <sjd/hosts/corrector_head.hpp>
#include <sjd/hosts/json.hpp>
#include <sjd/hosts/llama.hpp>
#include <sjd/hosts/picture_decoder.hpp>
#include <sjd/hosts/safetensors.hpp>
#include <sjd/hosts/word_tokenizer.hpp>
#include <utility>

#include "engine.hpp"
#include "engine_cuda.hpp"

namespace sjd::paint {
namespace {

std::filesystem::path checked_directory(const std::filesystem::path& asked) {
  const std::filesystem::path directory = asked.empty() ? find_model() : asked;
  if (!std::filesystem::is_directory(directory)) {
    throw Error{ErrorCode::io, directory.string() +
                                   ": no model directory; --model DIR or SJD_MODEL names another"};
  }
  return directory;
}

class CpuEngine final : public Engine {
 public:
  CpuEngine(const std::filesystem::path& directory, const std::string& weights_file,
            const hosts::LlamaOptions& options)
      : host_{hosts::LlamaHost::load(directory, weights_file, options)} {}

  const hosts::LlamaConfig& config() const override { return host_.config(); }
  std::int64_t max_sequences() const override { return host_.max_sequences(); }
  bool accepts_noise() const override { return host_.accepts_noise(); }
  MatrixView<const float> embedding_table() const override { return host_.embedding_table(); }
  NoiseContract noise_contract() const override { return host_.noise_contract(); }
  bool row_invariant() const override { return true; }
  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) override {
    host_.prefill(sequence, prompt, logits);
  }
  void forward(const ForwardPass<>& pass) override { host_.forward(pass); }

 private:
  hosts::LlamaHost host_;
};

std::unique_ptr<Engine> load_engine(const std::filesystem::path& directory,
                                    const StudioOptions& options, int threads) {
  const std::string file = options.weights + ".safetensors";
  std::unique_ptr<Engine> engine;
  if (options.device == "cuda") {
    engine = load_cuda_engine(directory, file, options.sequences);
  } else {
    engine = std::make_unique<CpuEngine>(
        directory, file,
        hosts::LlamaOptions{.max_sequences = options.sequences, .threads = threads});
  }
  // A head belongs to the weights that it was trained on.
  const std::filesystem::path head = directory / "corrector.safetensors";
  if (options.weights == "sjd2" && std::filesystem::exists(head)) {
    engine->set_corrector(std::make_shared<hosts::CorrectorHead>(
        hosts::CorrectorHead::load(head, engine->vocab_size(), engine->hidden_dim(),
                                   hosts::Storage::bf16, hosts::best_instruction_set())));
  }
  return engine;
}

}  // namespace

std::filesystem::path find_model() {
  const char* named = std::getenv("SJD_MODEL");
  if (named != nullptr && *named != '\0') return named;
  return SJD_MODEL_DIRECTORY;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

struct Studio::Parts {
  std::unique_ptr<Engine> engine;
  hosts::WordTokenizer tokenizer;
  hosts::PictureDecoder decoder;
};

Studio::Studio(const StudioOptions& options)
    : directory_{checked_directory(options.model)},
      threads_{options.threads > 0 ? options.threads : usable_cores()},
      parts_{new Parts{load_engine(directory_, options, threads_),
                       hosts::WordTokenizer::read(directory_ / "tokenizer.json"),
                       hosts::PictureDecoder::read(directory_ / "decoder.safetensors")}} {
  const hosts::LlamaConfig& config = parts_->engine->config();
  rows_ = config.image_rows;
  columns_ = config.image_columns;
  max_words_ = config.max_prompt_tokens;
  const auto refuse = [&](const char* file, const char* reason) {
    throw Error{ErrorCode::bad_file, (directory_ / file).string() + ": " + reason};
  };
  if (parts_->tokenizer.size() > config.text_vocab_size) {
    refuse("tokenizer.json", "has more words than config.json allows");
  }
  if (parts_->decoder.vocab_size() != config.image_vocab_size) {
    refuse("decoder.safetensors", "has another number of codes than config.json");
  }
}

Studio::~Studio() = default;

Engine& Studio::engine() {
  return *parts_->engine;
}

bool Studio::has_corrector() const {
  return parts_->engine->has_corrector();
}

bool Studio::row_invariant() const {
  return parts_->engine->row_invariant();
}

bool Studio::accepts_noise() const {
  return parts_->engine->accepts_noise();
}

ReadPrompt Studio::read(std::string_view prompt) const {
  hosts::EncodedPrompt encoded = parts_->tokenizer.encode(prompt, max_words_);
  return {std::move(encoded.ids), std::move(encoded.unknown_words),
          std::move(encoded.surplus_words)};
}

std::vector<std::string> Studio::words() const {
  constexpr std::size_t special = 3;  // <unused>, <image>, <unknown>
  const auto json =
      hosts::JsonField::read(directory_ / "tokenizer.json", {.bytes = std::int64_t{64} << 20});
  std::vector<std::string> words;
  for (const hosts::JsonField& item : json["words"].items()) words.push_back(item.text());
  words.erase(words.begin(),
              words.begin() + static_cast<std::ptrdiff_t>(std::min(special, words.size())));
  return words;
}

std::vector<std::int32_t> Studio::level_counts() const {
  std::vector<std::int32_t> counts{1};
  const std::int32_t grid = parts_->engine->config().noise.grid;
  for (std::int32_t k = 2; k <= grid + 1; ++k) {
    if (grid % (k - 1) == 0) counts.push_back(k);
  }
  return counts;
}

std::int64_t Studio::picture_width() const {
  return columns_ * hosts::PictureDecoder::patch_size;
}
std::int64_t Studio::picture_height() const {
  return rows_ * hosts::PictureDecoder::patch_size;
}

Raster Studio::picture(std::span<const TokenId> tokens) const {
  const hosts::Picture decoded = parts_->decoder.decode(tokens, rows_, columns_);
  Raster raster;
  raster.width = decoded.width;
  raster.height = decoded.height;
  raster.rgb = decoded.bytes();
  return raster;
}

std::vector<Raster> Studio::patches() const {
  const std::int64_t side = hosts::PictureDecoder::patch_size;
  const std::array<std::int64_t, 2> shape{parts_->decoder.vocab_size(), side * side * 3};
  const hosts::SafetensorsFile file{directory_ / "decoder.safetensors"};
  const std::vector<float> codebook = file.read_floats("codebook", shape);
  std::vector<Raster> patches(static_cast<std::size_t>(shape[0]), Raster{side, side, white});
  for (std::size_t i = 0; i < codebook.size(); ++i) {
    const auto each = static_cast<std::size_t>(shape[1]);
    patches[i / each].rgb[i % each] =
        static_cast<std::uint8_t>(std::lround(std::clamp(codebook[i], 0.0F, 1.0F) * 255.0F));
  }
  return patches;
}

const Composition& default_composition(const Studio& studio) {
  return *find_composition(default_decoder, studio.has_corrector() ? "corrected" : "maximal");
}

}  // namespace sjd::paint
