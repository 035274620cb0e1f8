// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/staging.hpp"
#include "sjd/detail/policy_text.hpp"
#include "sjd/detail/ragged_batch.hpp"
#include "sjd/detail/state_bytes.hpp"
#include "sjd/detail/state_checks.hpp"
#include "sjd/model.hpp"
#include "sjd/state.hpp"
#include "sjd/types.hpp"

namespace sjd {

namespace detail {

inline constexpr std::string_view state_magic = "SJDSTATE";
inline constexpr std::uint32_t state_version = 2;
inline constexpr std::size_t state_header = 32;  // magic, version, zero, payload length, checksum

/// Beyond any normalised embedding, and far from where its products with a table overflow.
inline constexpr float farthest_embedding = 0x1p40F;

/// A window that was judged on noisy rows leaves noisy rows in the cache, and no token tells what
/// they were.
template <class Decoder>
constexpr bool cache_follows_from_tokens() {
  if constexpr (requires { Decoder::Acceptance::clean_prefix_only; }) {
    return Decoder::Acceptance::clean_prefix_only;
  } else {
    return true;
  }
}

inline void write_law(const TokenLaw& law, ByteWriter& out) {
  out.number(static_cast<std::uint8_t>(law.kind()));
  if (law.kind() == TokenLaw::Kind::uniform) out.number(law.sum());
  if (law.kind() == TokenLaw::Kind::point) out.number(law.token(0));
  if (law.kind() != TokenLaw::Kind::list) return;
  out.number(static_cast<std::uint64_t>(law.size()));
  for (std::int64_t i = 0; i < law.size(); ++i) {
    out.number(law.token(i));
    out.number(law.mass_at(i));
  }
}

/// A list law: tokens ascending within the vocabulary, every mass > 0.
inline TokenLaw read_list_law(std::int64_t vocab, ByteReader& in) {
  const std::size_t size = in.count(sizeof(TokenId) + sizeof(std::uint32_t), "law");
  if (size == 0) in.refuse("law", "has no token");
  std::vector<TokenId> tokens;
  std::vector<std::uint32_t> masses;
  TokenId last = -1;
  for (std::size_t i = 0; i < size; ++i) {
    const auto token = in.number<TokenId>("law token");
    const auto mass = in.number<std::uint32_t>("law mass");
    if (token <= last || token >= vocab) in.refuse("law token", "is out of order or range");
    if (mass == 0) in.refuse("law mass", "is 0");
    tokens.push_back(token);
    masses.push_back(mass);
    last = token;
  }
  TokenLaw law;
  law.set_list(tokens, masses);
  return law;
}

inline TokenLaw read_law(std::int64_t vocab, ByteReader& in) {
  const auto kind = in.number<std::uint8_t>("law kind");
  if (kind == static_cast<std::uint8_t>(TokenLaw::Kind::none)) return {};
  if (kind == static_cast<std::uint8_t>(TokenLaw::Kind::list)) return read_list_law(vocab, in);
  if (kind == static_cast<std::uint8_t>(TokenLaw::Kind::uniform)) {
    if (in.number<std::uint64_t>("law size") != static_cast<std::uint64_t>(vocab)) {
      in.refuse("law size", "is not that of the vocabulary");
    }
    return TokenLaw::uniform(vocab);
  }
  if (kind != static_cast<std::uint8_t>(TokenLaw::Kind::point)) in.refuse("law kind", "is unknown");
  return TokenLaw::point(in.number<TokenId>("law token"));
}

inline void write_slot(const Slot& slot, ByteWriter& out) {
  out.number(slot.level);
  out.number(slot.age);
  out.number(slot.token);
  write_law(slot.law, out);
  out.list(slot.noisy);
}

inline Slot read_slot(std::int64_t vocab, ByteReader& in) {
  Slot slot;
  slot.level = in.number<std::int32_t>("slot level");
  slot.age = in.number<std::int32_t>("slot age");
  slot.token = in.number<TokenId>("slot token");
  slot.law = read_law(vocab, in);
  slot.noisy = in.list<float>("slot embedding");
  if (slot.has_token() && slot.law.mass(slot.token) == 0) {
    in.refuse("slot token", "has no mass in its law");
  }
  for (const float z : slot.noisy) {
    // Not NaN either. Squares of larger ones are not finite any more, and the model would see NaN.
    if (!(std::fabs(z) <= farthest_embedding)) {
      in.refuse("slot embedding", "holds a value that no noise reaches");
    }
  }
  return slot;
}

inline void write_statistics(const DecodeStatistics& s, ByteWriter& out) {
  for (const std::int64_t n : {s.forward_passes, s.rows, s.accepted, s.recovered, s.bonus}) {
    out.number(n);
  }
  out.list(s.judged_by_slot);
  out.list(s.accepted_by_slot);
  out.list(s.judged_by_age);
  out.list(s.accepted_by_age);
  out.list(s.passes_by_rows);
}

inline DecodeStatistics read_statistics(ByteReader& in) {
  DecodeStatistics s;
  for (std::int64_t* n : {&s.forward_passes, &s.rows, &s.accepted, &s.recovered, &s.bonus}) {
    *n = in.number<std::int64_t>("statistics");
  }
  s.judged_by_slot = in.list<std::int64_t>("statistics");
  s.accepted_by_slot = in.list<std::int64_t>("statistics");
  s.judged_by_age = in.list<std::int64_t>("statistics");
  s.accepted_by_age = in.list<std::int64_t>("statistics");
  s.passes_by_rows = in.list<std::int64_t>("statistics");
  const auto counts = [](std::int64_t n) { return n >= 0 && n <= std::int64_t{1} << 40; };
  bool good = counts(s.forward_passes) && counts(s.rows) && counts(s.accepted) &&
              counts(s.recovered) && counts(s.bonus);
  for (const auto* list : {&s.judged_by_slot, &s.accepted_by_slot, &s.judged_by_age,
                           &s.accepted_by_age, &s.passes_by_rows}) {
    good = good && std::all_of(list->begin(), list->end(), counts);
  }
  if (!good) in.refuse("statistics", "a counter is negative or beyond 2^40");
  return s;
}

/// What the state belongs to; compared before anything else is read.
inline void write_owner(std::string_view model_id, const StateBounds& bounds,
                        const std::string& policies, const DecoderState& state, ByteWriter& out) {
  out.text(model_id);
  out.number(bounds.vocab);
  out.number(bounds.dim);
  out.text(policies);
  out.number(state.seed);
  out.number(state.sample);
  out.number(state.total);
  out.number(state.sampling.temperature);
  out.number(state.sampling.top_k);
  out.number(state.sampling.top_p);
  out.list(state.guidance);
}

/// Refuses what another model, composition or request has saved.
///
/// errors  contract, saying which of them differs
inline void check_owner(std::string_view model_id, const StateBounds& bounds,
                        const std::string& policies, const DecoderState& wanted,
                        std::string_view file, ByteReader& in) {
  const auto differs = [&](const std::string& what) {
    throw Error{ErrorCode::contract, std::string{file} + ": was saved with another " + what};
  };
  if (const std::string id = in.text("model id"); id != model_id) {
    differs("model: \"" + plain_text(id) + "\", not \"" + plain_text(model_id) + "\"");
  }
  if (in.number<std::int64_t>("vocab") != bounds.vocab) differs("vocabulary size");
  if (in.number<std::int64_t>("dim") != bounds.dim) differs("embedding width");
  if (const std::string saved = in.text("policies"); saved != policies) {
    differs("composition: " + plain_text(saved) + ", not " + plain_text(policies));
  }
  if (in.number<std::uint64_t>("seed") != wanted.seed) differs("seed");
  if (in.number<std::uint64_t>("sample") != wanted.sample) differs("sample number");
  if (in.number<std::int64_t>("total") != wanted.total) differs("number of tokens");
  SamplingOptions sampling;
  sampling.temperature = in.number<float>("temperature");
  sampling.top_k = in.number<std::int64_t>("top_k");
  sampling.top_p = in.number<float>("top_p");
  if (sampling != wanted.sampling) differs("temperature, top_k or top_p");
  if (in.list<float>("guidance") != wanted.guidance) differs("guidance");
}

/// The payload, once magic, version, length and checksum are right.
///
/// errors  bad_file
inline std::span<const std::byte> open_envelope(std::span<const std::byte> bytes,
                                                std::string_view file) {
  ByteReader in{bytes, file};
  for (const char c : state_magic) {
    if (in.number<char>("magic") != c) in.refuse("magic", "this is no saved state");
  }
  if (const auto version = in.number<std::uint32_t>("version"); version != state_version) {
    in.refuse("version", "is " + std::to_string(version) + ", this program reads version " +
                             std::to_string(state_version));
  }
  if (in.number<std::uint32_t>("reserved") != 0) in.refuse("reserved", "is not 0");
  const auto length = in.number<std::uint64_t>("length");
  if (length != bytes.size() - std::min(bytes.size(), state_header)) {
    in.refuse("length", "says " + std::to_string(length) + " bytes, the file has " +
                            std::to_string(bytes.size()) + " with its header of 32");
  }
  const auto checksum = in.number<std::uint64_t>("checksum");
  if (checksum != fnv64(bytes.subspan(state_header))) in.refuse("checksum", "does not match");
  return bytes.subspan(state_header);
}

}  // namespace detail

/// The bytes of a state between two iterations; load_state() makes it again, in another process or
/// on another machine. Layout: docs/saved_state.md.
///
/// `model_id` is whatever names weights and prompt, for example a hash of both: neither is in the
/// state, and resuming with others would draw another picture without a word.
///
/// memory  about 8 bytes for each token in the law of each slot: some 100 KB for a window of 32 and
///         a vocabulary of 512
/// edge    the host's cache is not in it; restore_cache() makes it from the tokens
template <class Decoder>
[[nodiscard]] std::vector<std::byte> save_state(const Decoder& decoder, const DecoderState& state,
                                                std::string_view model_id) {
  static_assert(detail::cache_follows_from_tokens<Decoder>(),
                "sjd: an ungated composition keeps noisy rows in the model's cache; its state "
                "cannot be resumed");
  detail::ByteWriter payload;
  detail::write_owner(model_id, decoder.bounds(), detail::policies_text(decoder.policies()), state,
                      payload);
  payload.number(state.iteration);
  payload.list(state.tokens);
  payload.number(static_cast<std::uint64_t>(state.window.size()));
  for (const Slot& slot : state.window) detail::write_slot(slot, payload);
  detail::write_statistics(state.statistics, payload);
  detail::ByteWriter out;
  for (const char c : detail::state_magic) out.number(c);
  out.number(detail::state_version);
  out.number(std::uint32_t{0});
  out.number(static_cast<std::uint64_t>(payload.bytes().size()));
  out.number(detail::fnv64(payload.bytes()));
  out.append(payload.bytes());
  return out.take();
}

/// The state in `bytes`, for `sequence` of the decoder's model; `request` is the one that it was
/// started with (its prompt is not looked at). `file` names the bytes in errors.
///
/// memory  at most 16 times the bytes and 4 bytes for each token of the vocabulary
/// errors  bad_file naming byte and field if the bytes are cut, changed or of another version; contract if model,
///         composition or request is another; invalid_argument if the sequence or the request is
///         out of range
template <class Decoder>
[[nodiscard]] DecoderState load_state(const Decoder& decoder, std::span<const std::byte> bytes,
                                      std::string_view model_id,
                                      const typename Decoder::Request& request,
                                      std::int32_t sequence = 0,
                                      std::string_view file = "saved state") {
  static_assert(detail::cache_follows_from_tokens<Decoder>(),
                "sjd: an ungated composition keeps noisy rows in the model's cache; its state "
                "cannot be resumed");
  const detail::StateBounds bounds = decoder.bounds();
  DecoderState state = detail::start_state(sequence, bounds.sequences, request);
  detail::ByteReader in{detail::open_envelope(bytes, file), file};
  detail::check_owner(model_id, bounds, detail::policies_text(decoder.policies()), state, file, in);
  state.iteration = in.number<std::int64_t>("iteration");
  state.tokens = in.list<TokenId>("tokens");
  constexpr std::size_t smallest_slot = 21;
  const std::size_t slots = in.count(smallest_slot, "window");
  for (std::size_t i = 0; i < slots; ++i) {
    state.window.push_back(detail::read_slot(bounds.vocab, in));
  }
  state.statistics = detail::read_statistics(in);
  in.end();
  if (const char* fault = detail::saved_fault(state, bounds)) in.refuse("state", fault);
  return state;
}

/// Brings the model's cache to where a loaded state needs it: runs the prompt and feeds all
/// committed tokens but the tip, in every guidance branch.
///
/// Resuming then draws the tokens of an undisturbed run, bit for bit if a row of the model depends
/// on nothing but its own prefix.
///
/// memory  logits of at most 64 rows a branch
/// edge    a finished state, or one of a single token, needs no pass
/// errors  contract if the model leaves rows unwritten; whatever the model throws passes through
template <TokenModel Model>
void restore_cache(Model& model, const DecoderState& state, const typename Model::Prompt& prompt) {
  if (state.finished() || state.tokens.empty()) return;
  detail::StagedBuffer<Model, typename detail::logit_of<Model>::type> logits{model};
  logits.reshape(state.branches(), model.vocab_size());
  model.prefill(state.sequence, prompt, logits.on_model());
  detail::check_prefilled(logits, state.sequence);
  const std::int64_t cached = state.committed() - 1;
  std::vector<KeepLength> keep;
  std::vector<InputRow> rows;
  for (std::int64_t first = 0; first < cached; first += 64) {
    keep.clear();
    rows.clear();
    for (std::int32_t branch = 0; branch < state.branches(); ++branch) {
      keep.push_back({state.sequence, branch, first});
      for (std::int64_t i = first; i < std::min(cached, first + 64); ++i) {
        rows.push_back({.sequence = state.sequence,
                        .branch = branch,
                        .position = i,
                        .token = state.tokens[static_cast<std::size_t>(i)]});
      }
    }
    logits.reshape(static_cast<std::int64_t>(rows.size()), model.vocab_size());
    model.forward({keep, rows, {}, logits.on_model()});
    detail::check_written(logits, "logits", rows);
  }
}

}  // namespace sjd
