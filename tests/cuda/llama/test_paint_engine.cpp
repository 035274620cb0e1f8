// SPDX-License-Identifier: Apache-2.0
// What paint --device cuda decodes with, on the host executor: the device host, copied over and
// back, with strides and hidden rows.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "paint/staged_engine.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {

TEST_CASE("the engine of paint --device cuda gives what the device host gives") {
  using hosts::HostBackend;
  const TemporaryDirectory directory;
  write_random_model(directory.path(), tiny_shape(), 5);
  HostBackend backend;
  hosts::LlamaCuda<HostBackend, cuda::Bf16> host{
      backend, directory.path(), "sjd2.safetensors", {1, 64}};
  const std::unique_ptr<paint::Engine> engine =
      std::make_unique<paint::StagedEngine<HostBackend, cuda::Bf16>>(directory.path(),
                                                                     "sjd2.safetensors", 1);
  CHECK(engine->vocab_size() == 96);
  CHECK(engine->noise_contract().grid == 4);
  CHECK_FALSE(engine->row_invariant());
  CHECK_FALSE(engine->has_corrector());
  CHECK_THROWS_AS(engine->corrector_head(), Error);

  constexpr std::int64_t stride = 100;
  std::vector<float> expected(2 * 96);
  std::vector<float> found(4 * stride, 5.0F);
  host.prefill(0, {3, 4}, {expected.data(), 2, 96});
  engine->prefill(0, {3, 4}, {found.data(), 2, 96, stride});
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(std::memcmp(&expected[i * 96], &found[i * stride], 96 * sizeof(float)) == 0);
  }
  CHECK(found[96] == 5.0F);

  std::vector<float> fed(2 * 70, 0.25F);  // rows of 64 at a stride of 70
  fed[70] = -3.0F;
  const std::vector<float> packed = [&] {
    std::vector<float> rows(fed.begin(), fed.begin() + 64);
    rows.insert(rows.end(), fed.begin() + 70, fed.begin() + 134);
    return rows;
  }();
  const std::vector<KeepLength> keep{{0, 0, 0}};
  const std::vector<InputRow> rows{{0, 0, 0, 7, 0, -1}, {0, 0, 1, 0, 2, 1}};
  std::vector<float> hidden(2 * 64);
  std::vector<float> found_hidden(2 * 64);
  host.forward(
      {keep, rows, {packed.data(), 2, 64}, {expected.data(), 2, 96}, {hidden.data(), 2, 64}});
  engine->forward({keep,
                   rows,
                   {fed.data(), 2, 64, 70},
                   {found.data(), 4, 96, stride},
                   {found_hidden.data(), 2, 64}});
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(std::memcmp(&expected[i * 96], &found[i * stride], 96 * sizeof(float)) == 0);
  }
  CHECK(found_hidden == hidden);
  CHECK(found[2 * stride] == 5.0F);  // rows behind the pass are left alone
}

}  // namespace sjd::test
