// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace sjd::fuzz {

/// Feeds one input to a reader; sjd::Error is what a reader may throw, anything else is a finding.
using Target = void (*)(std::span<const std::uint8_t> bytes);

void read_safetensors(std::span<const std::uint8_t> bytes);
void read_config(std::span<const std::uint8_t> bytes);
void read_tokenizer(std::span<const std::uint8_t> bytes);
void read_prompt(std::span<const std::uint8_t> bytes);
void read_corrector(std::span<const std::uint8_t> bytes);
void read_costs(std::span<const std::uint8_t> bytes);
void read_prompts(std::span<const std::uint8_t> bytes);
void read_state(std::span<const std::uint8_t> bytes);

/// Writes the header that belongs to the payload behind it, checksum and all; a shorter input
/// stays.
void seal_state(std::span<std::uint8_t> bytes);

}  // namespace sjd::fuzz
