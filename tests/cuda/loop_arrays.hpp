// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/table_model.hpp"
#include "sjd/cuda/device_decoder.hpp"

/// Decodes in a loop on a device, apart from the CPU's decoder: device code includes this too.
namespace sjd::test {

/// Pictures behind their prompts, and the rules to decode them by.
struct LoopCase {
  TableOptions table{};
  cuda::DecodeRules rules{};
  cuda::DecoderRoom room{};
  std::vector<DecoderState> starts{};                // [pictures]
  std::vector<std::vector<std::uint64_t>> begins{};  // [pictures][branches]
  std::int32_t poll_every = 3;
};

/// Decodes all pictures of a case on `device`.
template <class Device, class Corrector>
std::vector<DecoderState> run_loop(const LoopCase& loop, Device& device,
                                   const cuda::DeviceLimits& limits, const Corrector& corrector) {
  TableModel<Device> model{device, loop.table, loop.room.branches, loop.room.most_tokens,
                           loop.room.hidden_dim};
  const cuda::DeviceRules<Device> rules{device, loop.rules};
  cuda::DeviceDecoder<TableModel<Device>, Device, float, Corrector> decoder{
      model, device, rules, loop.room, limits, corrector};
  return decoder.decode(
      static_cast<std::int64_t>(loop.starts.size()),
      [&](std::int64_t place, std::int64_t number) {
        const auto n = static_cast<std::size_t>(number);
        model.begin(place, loop.begins[n]);
        return loop.starts[n];
      },
      loop.poll_every);
}

}  // namespace sjd::test
