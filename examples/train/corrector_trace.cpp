// SPDX-License-Identifier: Apache-2.0
#include "corrector_trace.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "kernel_math.hpp"
#include "sjd/hosts/word_tokenizer.hpp"
#include "sjd/sjd.hpp"

namespace sjd::train {
namespace {

template <class T>
void extend(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

template <class T>
void drop_front(std::vector<T>& values, std::int64_t count) {
  values.erase(values.begin(), values.begin() + count);
}

template <class T>
void write_vector(std::ostream& out, const std::vector<T>& values) {
  const std::uint64_t count = values.size();
  out.write(reinterpret_cast<const char*>(&count), sizeof count);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(count * sizeof(T)));
}

template <class T>
void read_vector(std::istream& in, std::vector<T>& values) {
  std::uint64_t count = 0;
  in.read(reinterpret_cast<char*>(&count), sizeof count);
  if (!in || count > (std::uint64_t{1} << 36U)) throw std::runtime_error("broken traces");
  values.resize(count);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
  if (!in) throw std::runtime_error("broken traces");
}

/// What one picture is decoded with, drawn from its number.
struct Recipe {
  std::size_t prompt = 0;
  std::size_t other = 0;    // lends words to the prompt of an invented caption
  std::uint64_t words = 0;  // bit i: word i is the other prompt's; 0 = the prompt as it is
  std::vector<float> guidance;
  float temperature = 1.0F;
  bool noise = true;
  std::string name;
};

Recipe recipe_of(const TraceOptions& options, std::uint64_t picture, std::size_t prompts) {
  const std::uint64_t bits = mix_key(options.seed, picture);
  constexpr float scales[] = {0, 0, 0, 0, 0, 0, 1.5F, 1.5F, 3, 3, 3, 3, 3, 3, 5, 5};
  Recipe recipe;
  recipe.prompt = (bits >> 16U) % prompts;
  const std::uint64_t more = mix_key(bits, 1);
  recipe.other = (more >> 16U) % prompts;
  const bool invented = static_cast<double>(more & 0xFFFFU) < options.invented * 65536.0;
  if (invented) recipe.words = mix_key(bits, 2);
  const float scale = scales[bits & 15U];
  if (scale > 0.0F) recipe.guidance = {scale};
  recipe.temperature = (bits >> 4U & 7U) < 6 ? 1.0F : 0.7F;
  recipe.noise = (bits >> 8U & 7U) < 5;
  recipe.name = std::string{recipe.noise ? "sjd2" : "sjd"} + " cfg " +
                (scale > 0.0F ? std::to_string(scale).substr(0, 3) : "none") +
                (recipe.temperature < 1.0F ? " T.7" : "");
  return recipe;
}

/// Words of two captions in one: names that the model knows, together as it never saw them.
hosts::LlamaHost::Prompt mixed(const hosts::LlamaHost::Prompt& prompt,
                               const hosts::LlamaHost::Prompt& other, std::uint64_t words) {
  hosts::LlamaHost::Prompt mixed = prompt;
  for (std::size_t i = 0; i < std::min(mixed.size(), other.size()); ++i) {
    if ((words >> (i % 64) & 1U) != 0) mixed[i] = other[i];
  }
  return mixed;
}

KarrasSchedule schedule_of(const hosts::LlamaConfig& config) {
  return {.levels = 1,
          .grid = config.noise.grid,
          .rho_min = config.noise.rho_min,
          .rho_max = config.noise.rho_max};
}

}  // namespace

void CorrectorTraces::append(const CorrectorTraces& other) {
  extend(hidden, other.hidden);
  extend(logits, other.logits);
  extend(target, other.target);
  extend(now, other.now);
  extend(before, other.before);
  extend(distance, other.distance);
}

void CorrectorTraces::reserve(std::int64_t most_rows) {
  const auto count = static_cast<std::size_t>(most_rows);
  hidden.reserve(2 * count * static_cast<std::size_t>(hidden_dim));
  logits.reserve(count * static_cast<std::size_t>(vocab));
  target.reserve(count * static_cast<std::size_t>(vocab));
  now.reserve(count * neighbours.size());
  before.reserve(count * neighbours.size());
  distance.reserve(count);
}

void CorrectorTraces::drop_oldest(std::int64_t rows_to_drop) {
  drop_front(hidden, 2 * rows_to_drop * hidden_dim);
  drop_front(logits, rows_to_drop * vocab);
  drop_front(target, rows_to_drop * vocab);
  drop_front(now, rows_to_drop * count());
  drop_front(before, rows_to_drop * count());
  drop_front(distance, rows_to_drop);
}

void CorrectorTraces::save(std::ostream& out) const {
  write_vector(out, neighbours);
  write_vector(out, hidden);
  write_vector(out, logits);
  write_vector(out, target);
  write_vector(out, now);
  write_vector(out, before);
  write_vector(out, distance);
}

void CorrectorTraces::load(std::istream& in) {
  const std::vector<std::int32_t> wanted = neighbours;
  read_vector(in, neighbours);
  read_vector(in, hidden);
  read_vector(in, logits);
  read_vector(in, target);
  read_vector(in, now);
  read_vector(in, before);
  read_vector(in, distance);
  const auto count = static_cast<std::size_t>(rows());
  if (neighbours != wanted || hidden.size() != 2 * count * static_cast<std::size_t>(hidden_dim) ||
      logits.size() != count * static_cast<std::size_t>(vocab)) {
    throw std::runtime_error("the traces are those of another model");
  }
}

void TraceModel::record(CorrectorTraces& traces, std::span<const float> guidance) {
  traces_ = &traces;
  guidance_.assign(guidance.begin(), guidance.end());
}

void TraceModel::prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
  host_->prefill(sequence, prompt, logits);
  before_.first = -1;
  tokens_.clear();
}

void TraceModel::forward(const ForwardPass<>& pass) {
  host_->forward(pass);
  take(pass, now_);
  // Drafts between the two tips were accepted; the new tip may replace one.
  for (Position at = before_.first + 1; before_.first >= 0 && at < now_.first; ++at) {
    tokens_.push_back(before_.fed[static_cast<std::size_t>(at - before_.first)]);
  }
  tokens_.push_back(now_.fed.front());
  if (before_.first >= 0 && traces_ != nullptr) write_rows();
  std::swap(before_, now_);
}

void TraceModel::take(const ForwardPass<>& pass, Pass& out) const {
  const auto branches = static_cast<std::int64_t>(pass.keep_length.size());
  const std::int64_t count = static_cast<std::int64_t>(pass.rows.size()) / branches;
  out.first = pass.rows.front().position;
  out.fed.clear();
  out.logits.resize(static_cast<std::size_t>(count * vocab_size()));
  out.hidden.resize(static_cast<std::size_t>(count * hidden_dim()));
  cpu::SequenceRows logits{pass.logits, 0, count, branches};
  cpu::SequenceRows hidden{pass.hidden, 0, count, branches};
  for (std::int64_t j = 0; j < count; ++j) {
    const InputRow& row = pass.rows[static_cast<std::size_t>(j)];
    out.fed.push_back(row.level == 0 ? row.token : static_cast<std::int32_t>(vocab_size()));
    cpu::guide(logits.row(j), guidance_,
               {out.logits.data() + j * vocab_size(), static_cast<std::size_t>(vocab_size())});
    cpu::guide(hidden.row(j), guidance_,
               {out.hidden.data() + j * hidden_dim(), static_cast<std::size_t>(hidden_dim())});
  }
}

void TraceModel::write_rows() {
  const Position end = std::min({before_.end(), now_.end(), now_.first + farthest});
  for (Position predictor = now_.first; predictor < end; ++predictor) {
    if (!write_neighbours(predictor + 1)) continue;
    traces_->distance.push_back(static_cast<std::uint8_t>(predictor + 1 - now_.first));
    write_law(predictor);
  }
}

std::int32_t TraceModel::fed_at(const Pass& pass, Position position) const {
  if (position < 0) return static_cast<std::int32_t>(vocab_size());
  if (position <= pass.first) return tokens_[static_cast<std::size_t>(position)];
  return pass.fed[static_cast<std::size_t>(position - pass.first)];
}

bool TraceModel::write_neighbours(Position position) {
  const std::size_t rows = traces_->now.size();
  bool changed = false;
  for (const std::int32_t offset : traces_->neighbours) {
    const std::int32_t now = fed_at(now_, position - offset);
    const std::int32_t before = fed_at(before_, position - offset);
    traces_->now.push_back(static_cast<std::int16_t>(now));
    traces_->before.push_back(static_cast<std::int16_t>(before));
    changed = changed || now != before;
  }
  if (changed) return true;
  traces_->now.resize(rows);
  traces_->before.resize(rows);
  return false;
}

void TraceModel::write_law(Position predictor) {
  const auto vocab = static_cast<std::size_t>(vocab_size());
  const auto dim = static_cast<std::size_t>(hidden_dim());
  const auto old_row = static_cast<std::size_t>(predictor - before_.first);
  const auto new_row = static_cast<std::size_t>(predictor - now_.first);
  const float* hidden = before_.hidden.data() + (old_row - 1) * dim;
  for (std::size_t j = 0; j < 2 * dim; ++j) traces_->hidden.push_back(narrow(hidden[j]));
  const float* old_logits = before_.logits.data() + old_row * vocab;
  const float* new_logits = now_.logits.data() + new_row * vocab;
  const float old_top = *std::max_element(old_logits, old_logits + vocab);
  const float new_top = *std::max_element(new_logits, new_logits + vocab);
  float sum = 0.0F;
  std::vector<float> masses(vocab);
  for (std::size_t v = 0; v < vocab; ++v) {
    const float steps = std::max((old_logits[v] - old_top) / logit_step, -32'000.0F);
    traces_->logits.push_back(static_cast<std::int16_t>(std::lround(steps)));
    masses[v] = quick_exp(new_logits[v] - new_top);
    sum += masses[v];
  }
  for (const float mass : masses) traces_->target.push_back(narrow(mass / sum));
}

std::uint64_t collect_traces(hosts::LlamaHost& host,
                             const std::vector<hosts::LlamaHost::Prompt>& prompts,
                             const TraceOptions& options, CorrectorTraces& train,
                             CorrectorTraces& held_out, std::vector<TraceYield>& yields) {
  const Stopwatch watch;
  TraceModel model{host};
  const FixedWindow window{.tokens = options.window};
  const HeadCorrector head{.depth = options.depth};
  SpeculativeJacobiDenoiser sjd2{model, window, schedule_of(host.config()), head};
  SpeculativeJacobiDenoiser sjd{model, window, NoNoise{}, head};
  std::uint64_t picture = options.first_picture;
  for (; watch.seconds() < options.seconds && train.rows() < options.most_rows; ++picture) {
    const Recipe recipe = recipe_of(options, picture, prompts.size());
    model.record(picture % 8 == 7 ? held_out : train, recipe.guidance);
    GenerationRequest<hosts::LlamaHost::Prompt> request{
        .prompt = mixed(prompts[recipe.prompt], prompts[recipe.other], recipe.words),
        .tokens = host.config().image_tokens(),
        .seed = options.seed,
        .sample = picture};
    request.guidance = recipe.guidance;
    request.sampling.temperature = recipe.temperature;
    const GenerationResult result = recipe.noise ? sjd2.generate(request) : sjd.generate(request);
    auto found = std::find_if(yields.begin(), yields.end(),
                              [&](const TraceYield& y) { return y.name == recipe.name; });
    if (found == yields.end()) found = yields.insert(found, {recipe.name});
    found->tokens += static_cast<std::int64_t>(result.tokens.size());
    found->passes += result.statistics.forward_passes;
  }
  return picture - options.first_picture;
}

std::vector<hosts::LlamaHost::Prompt> read_prompts(const std::filesystem::path& model,
                                                   const std::string& list) {
  std::ifstream file{model / "prompts.json"};
  if (!file) throw std::runtime_error((model / "prompts.json").string() + ": cannot be opened");
  const nlohmann::json prompts = nlohmann::json::parse(file);
  const auto config = hosts::read_llama_config(model / "config.json");
  const auto tokenizer = hosts::WordTokenizer::read(model / "tokenizer.json");
  std::vector<hosts::LlamaHost::Prompt> ids;
  for (const auto& entry : prompts.at(list)) {
    ids.push_back(
        tokenizer.encode(entry.at("prompt").get<std::string>(), config.max_prompt_tokens).ids);
  }
  if (ids.empty()) throw std::runtime_error("prompts.json has no prompts in " + list);
  return ids;
}

}  // namespace sjd::train
