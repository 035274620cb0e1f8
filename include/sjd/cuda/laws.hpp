// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"

/// Token laws where kernels keep them; every number as in sjd::TokenLaw.
namespace sjd::cuda {

/// What became of one row of logits.
enum class RowStatus : std::int32_t {
  ok,
  invalid_logits,  ///< NaN or +Inf at LawHead::point, after guidance and grammar
  empty_support,   ///< every token is -Inf
  law_overflow,    ///< more tokens have mass than the law has room for
};

/// A law without its list, and what was drawn from it.
struct LawHead {
  std::uint64_t sum = 0;  ///< of all masses
  std::int32_t size = 0;  ///< tokens of a list
  TokenLaw::Kind kind = TokenLaw::Kind::none;
  RowStatus status = RowStatus::ok;
  TokenId point = -1;  ///< of a point law; of a row that failed: the first bad token
  TokenId drawn = -1;  ///< the draw that came with the row, -1 if it failed

  friend bool operator==(const LawHead&, const LawHead&) = default;
};

/// Laws in the memory of the kernels.
///
/// shapes  heads [laws]; ids, masses [laws, capacity], the first LawHead::size of each written
/// memory  borrowed; capacity >= min(top_k, vocab), or vocab without top-k
struct LawTable {
  LawHead* heads = nullptr;
  TokenId* ids = nullptr;
  std::uint32_t* masses = nullptr;
  std::int64_t laws = 0;
  std::int64_t capacity = 0;
};

/// One law to read.
struct LawView {
  const LawHead& head;
  const TokenId* ids = nullptr;           // [head.size], ascending
  const std::uint32_t* masses = nullptr;  // [head.size], > 0

  SJD_DEVICE LawView(const LawTable& table, std::int64_t law)
      : head{table.heads[law]},
        ids{table.ids + law * table.capacity},
        masses{table.masses + law * table.capacity} {}

  /// Number of tokens with a mass; 32 bits, as tokens have.
  [[nodiscard]] SJD_DEVICE std::int32_t size() const {
    if (head.kind == TokenLaw::Kind::uniform) return static_cast<std::int32_t>(head.sum);
    return head.kind == TokenLaw::Kind::list ? head.size : head.kind == TokenLaw::Kind::point;
  }
  /// The i-th token of the support, ascending.
  [[nodiscard]] SJD_DEVICE TokenId token(std::int32_t i) const {
    if (head.kind == TokenLaw::Kind::uniform) return i;
    return head.kind == TokenLaw::Kind::point ? head.point : ids[i];
  }
  [[nodiscard]] SJD_DEVICE std::uint32_t mass_at(std::int32_t i) const {
    return head.kind == TokenLaw::Kind::list ? masses[i] : 1U;
  }
  /// The first i with token(i) >= token; size() if there is none.
  [[nodiscard]] SJD_DEVICE std::int32_t place(TokenId token) const {
    std::int32_t low = 0, high = size();
    while (low < high) {
      const std::int32_t middle = low + (high - low) / 2;
      if (this->token(middle) < token) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  /// Mass of one token, 0 off the support.
  [[nodiscard]] SJD_DEVICE std::uint32_t mass(TokenId token) const {
    const std::int32_t i = place(token);
    return i < size() && this->token(i) == token ? mass_at(i) : 0U;
  }
};

/// Throws what the CPU path throws for the same row.
///
/// errors  invalid_logits, empty_support, contract, each naming sequence and position
inline void check_row(const LawHead& head, std::int32_t sequence, Position position) {
  if (head.status == RowStatus::ok) return;
  std::string text = "logits: every token is -Inf after guidance and grammar";
  ErrorCode code = ErrorCode::empty_support;
  if (head.status == RowStatus::invalid_logits) {
    code = ErrorCode::invalid_logits;
    text = "logits: NaN or +Inf at token " + std::to_string(head.point);
  } else if (head.status == RowStatus::law_overflow) {
    code = ErrorCode::contract;
    text = "a law holds more tokens than LawTable::capacity";
  }
  throw Error{code,
              text + " (sequence " + std::to_string(sequence) + ", image position " +
                  std::to_string(position) + ")",
              sequence, position};
}

}  // namespace sjd::cuda
