// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "sjd/core/config.hpp"

namespace sjd {

/// What went wrong, for programs; what() says it for people.
enum class ErrorCode : std::uint8_t {
  invalid_argument,  ///< an option outside its range, named in the text
  invalid_logits,    ///< the host returned NaN or +Inf
  empty_support,     ///< no token is left after guidance, grammar and filters
  contract,          ///< the host, the checkpoint or a policy breaks its contract
  bad_file,          ///< a file is malformed; the text names file, field and reason
  io,                ///< the operating system refused to read or write
  out_of_memory,     ///< a buffer of the size named in the text cannot be had
};

/// Every exception that this library throws on its own behalf. Beside it only three kinds leave a
/// call: what the model or a callback throws, std::bad_alloc, and what CUDA and cuBLAS report where
/// a device is asked for (cuda::CudaError, hosts::BlasError).
class Error : public std::runtime_error {
 public:
  /// `sequence` and `position` are -1 where they have no meaning.
  Error(ErrorCode code, const std::string& text, std::int64_t sequence = -1,
        std::int64_t position = -1)
      : std::runtime_error{text}, code_{code}, sequence_{sequence}, position_{position} {}

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] std::int64_t sequence() const noexcept { return sequence_; }
  [[nodiscard]] std::int64_t position() const noexcept { return position_; }

 private:
  ErrorCode code_;
  std::int64_t sequence_;
  std::int64_t position_;
};

/// Throws Error{code, text} unless `condition` holds. `text` is only built by callers that fail.
inline void expects(bool condition, ErrorCode code, const char* text) {
  if (!condition) throw Error{code, text};
}

/// Runs `work`; an Error that leaves it without a sequence gets this one, in what() as well.
template <class Work>
decltype(auto) naming_sequence(std::int64_t sequence, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.sequence() >= 0) throw;
    std::string where = " (sequence " + std::to_string(sequence);
    if (error.position() >= 0) where += ", image position " + std::to_string(error.position());
    throw Error{error.code(), error.what() + where + ")", sequence, error.position()};
  }
}

}  // namespace sjd
