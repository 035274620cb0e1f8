// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "sjd/model.hpp"

namespace sjd::detail {

/// Tokens with masses, shared by all copies: what has two owners is never written again.
///
/// memory  one block of 8 bytes an entry, which goes with its last owner
/// threads owners are counted atomically, so that copies may live on different threads
class SharedList {
 public:
  SharedList() = default;
  SharedList(const SharedList& other) noexcept : block_{other.block_} {
    if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  SharedList(SharedList&& other) noexcept : block_{std::exchange(other.block_, nullptr)} {}
  SharedList& operator=(SharedList other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~SharedList() {
    if (block_ == nullptr) return;
    if (block_->owners.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    block_->~Block();
    ::operator delete(block_);
  }

  [[nodiscard]] std::span<const TokenId> tokens() const noexcept {
    if (block_ == nullptr) return {};
    return {reinterpret_cast<const TokenId*>(numbers()), block_->size};
  }
  [[nodiscard]] std::span<const std::uint32_t> masses() const noexcept {
    if (block_ == nullptr) return {};
    return {numbers() + block_->room, block_->size};
  }

  /// Becomes a copy of both arrays [size], which must not be its own.
  void assign(std::span<const TokenId> tokens, std::span<const std::uint32_t> masses) {
    if (!is_mine() || block_->room < tokens.size()) *this = SharedList{tokens.size()};
    block_->size = tokens.size();
    std::copy(tokens.begin(), tokens.end(), reinterpret_cast<TokenId*>(numbers()));
    std::copy(masses.begin(), masses.end(), numbers() + block_->room);
  }

  /// Lets go of a block that has other owners, and keeps one of its own to write into later.
  void drop_shared() noexcept {
    if (!is_mine()) *this = SharedList{};
  }

  friend bool operator==(const SharedList& a, const SharedList& b) {
    return a.block_ == b.block_ || (std::ranges::equal(a.tokens(), b.tokens()) &&
                                    std::ranges::equal(a.masses(), b.masses()));
  }

 private:
  /// What stands in front of the tokens [room] and the masses [room].
  struct Block {
    explicit Block(std::size_t entries) : room{entries} {}

    std::atomic<std::size_t> owners{1};
    std::size_t room = 0;
    std::size_t size = 0;
  };

  explicit SharedList(std::size_t room)
      : block_{new (::operator new(sizeof(Block) + room * 2 * sizeof(std::uint32_t))) Block{room}} {
  }

  /// Nobody else can see the block; what others did with it is over.
  [[nodiscard]] bool is_mine() const noexcept {
    return block_ != nullptr && block_->owners.load(std::memory_order_acquire) == 1;
  }

  /// Tokens, then masses. A token and its unsigned twin may stand for each other.
  [[nodiscard]] std::uint32_t* numbers() const noexcept {
    return reinterpret_cast<std::uint32_t*>(block_ + 1);
  }

  Block* block_ = nullptr;
};

}  // namespace sjd::detail
