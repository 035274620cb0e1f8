// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "sjd/core/error.hpp"

namespace sjd::detail {

/// Refuses a second caller while one is at work: a model or a callback that calls its own decoder,
/// or another thread. Both would write over rows that the first caller still needs.
class InUse {
 public:
  /// Held for as long as one call runs.
  class Hold {
   public:
    explicit Hold(std::atomic<bool>& taken) : taken_{&taken} {
      expects(!taken.exchange(true), ErrorCode::contract,
              "this decoder is at work already; a model, a callback or another thread must not "
              "call it");
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { taken_->store(false); }

   private:
    std::atomic<bool>* taken_;
  };

  /// One start() or step().
  [[nodiscard]] Hold call() { return Hold{call_}; }
  /// One generate(), which makes many calls.
  [[nodiscard]] Hold batch() { return Hold{batch_}; }

 private:
  std::atomic<bool> call_{false};
  std::atomic<bool> batch_{false};
};

}  // namespace sjd::detail
