// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace {

using sjd::CorrectionContext;
using sjd::DecoderState;
using sjd::Error;
using sjd::ErrorCode;
using sjd::hosts::CorrectorHead;
using sjd::hosts::InstructionSet;
using sjd::hosts::LlamaHost;
using sjd::hosts::Storage;
using sjd::test::TestTensor;
using sjd::test::TestTensors;

constexpr std::int64_t vocab = 96;
constexpr std::int64_t dim = 64;
constexpr std::int64_t width = 64;

TestTensor integers(const std::vector<std::int32_t>& values) {
  TestTensor tensor{"I32", {static_cast<std::int64_t>(values.size())}, {}};
  for (const std::int32_t value : values) tensor.values.push_back(std::bit_cast<float>(value));
  return tensor;
}

/// A head that changes logits by about `gain`.
TestTensors random_head(std::uint32_t seed, double gain = 1.0) {
  sjd::test::RandomTensors make{seed};
  TestTensors t;
  t["neighbours"] = integers({1, 2, 9, 10});
  t["input.weight"] = make("BF16", {width, 2 * dim}, 0.1);
  t["inner.weight"] = make("BF16", {width, width}, 0.1);
  t["inner.bias"] = make("F32", {width}, 0.3);
  t["output.weight"] = make("BF16", {vocab, width}, 0.2 * gain);
  t["now.weight"] = make("BF16", {4, vocab + 1, width}, 0.4);
  t["before.weight"] = make("BF16", {4, vocab + 1, width}, 0.4);
  t["changed.weight"] = make("BF16", {4, width}, 0.4);
  t["distance.weight"] = make("BF16", {5, width}, 0.4);
  return t;
}

/// A window of six slots before and after a pass in which the first two tokens were committed.
struct Scene {
  DecoderState before;
  DecoderState now;
  std::vector<float> hidden;  // [7, dim]

  Scene() {
    before.total = 90;
    for (std::int32_t i = 0; i < 20; ++i) before.tokens.push_back(i * 7 % 96);
    for (std::int32_t i = 0; i < 6; ++i) {
      before.window.push_back({.level = i == 5 ? 1 : 0, .token = 30 + i});
    }
    now = before;
    now.tokens.push_back(before.window[0].token);
    now.tokens.push_back(77);
    now.window[3].token = 5;
    hidden = sjd::test::RandomTensors{3}("F32", {7, dim}, 1.0).values;
  }
  [[nodiscard]] CorrectionContext context(std::int64_t index) const {
    return {before, now, index, 2, {hidden.data(), 7, dim}};
  }
  [[nodiscard]] std::vector<CorrectionContext> drafts() const {
    return {context(2), context(3), context(4), context(5)};
  }
};

double silu(double x) {
  return x / (1.0 + std::exp(-x));
}

/// The formula of docs/checkpoint.md in double.
std::vector<double> naive(const TestTensors& t, const CorrectionContext& context) {
  const auto at = [&](const std::string& name, std::int64_t row, std::int64_t column,
                      std::int64_t columns) {
    return static_cast<double>(t.at(name).values[static_cast<std::size_t>(row * columns + column)]);
  };
  const std::int64_t offsets[] = {1, 2, 9, 10};
  std::vector<double> x(width), y(width), change(vocab);
  for (std::int64_t j = 0; j < width; ++j) {
    double u = at("distance.weight", std::min<std::int64_t>(context.distance(), 5) - 1, j, width);
    for (std::int64_t k = 0; k < 2 * dim; ++k) {
      u += at("input.weight", j, k, 2 * dim) *
           static_cast<double>(context.hidden().data[(context.row() - 1) * dim + k]);
    }
    for (std::int64_t n = 0; n < 4; ++n) {
      const std::int64_t now = context.now(offsets[n]);
      const std::int64_t before = context.before(offsets[n]);
      u += at("now.weight", n * (vocab + 1) + (now < 0 ? vocab : now), j, width);
      u += at("before.weight", n * (vocab + 1) + (before < 0 ? vocab : before), j, width);
      if (now != before) u += at("changed.weight", n, j, width);
    }
    x[static_cast<std::size_t>(j)] = silu(u);
  }
  for (std::int64_t j = 0; j < width; ++j) {
    double v = at("inner.bias", 0, j, width);
    for (std::int64_t k = 0; k < width; ++k) {
      v += at("inner.weight", j, k, width) * x[static_cast<std::size_t>(k)];
    }
    y[static_cast<std::size_t>(j)] = x[static_cast<std::size_t>(j)] + silu(v);
  }
  for (std::int64_t v = 0; v < vocab; ++v) {
    for (std::int64_t k = 0; k < width; ++k) {
      change[static_cast<std::size_t>(v)] +=
          at("output.weight", v, k, width) * y[static_cast<std::size_t>(k)];
    }
  }
  return change;
}

CorrectorHead load(const TestTensors& tensors, InstructionSet set = InstructionSet::scalar,
                   Storage storage = Storage::bf16) {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "corrector.safetensors";
  sjd::test::write_safetensors(path, tensors);
  return CorrectorHead::load(path, vocab, dim, storage, set);
}

std::vector<float> corrected(CorrectorHead& head, const Scene& scene, std::int64_t index) {
  std::vector<float> logits(vocab, 0.25F);
  const std::vector<CorrectionContext> drafts = scene.drafts();
  head.begin(drafts);
  REQUIRE(head.correct(scene.context(index), logits));
  return logits;
}

void require_refused(const TestTensors& tensors, const std::string& name) {
  try {
    load(tensors);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK_THAT(error.what(), Catch::Matchers::Contains(name));
    return;
  }
  FAIL("a broken corrector was read: " << name);
}

}  // namespace

TEST_CASE("the corrector head computes its formula") {
  const TestTensors tensors = random_head(1);
  const Scene scene;
  for (const Storage storage : {Storage::fp32, Storage::bf16}) {
    // bf16 storage rounds the activations too; the changes are about 3 in size.
    const double tolerance = storage == Storage::fp32 ? 1e-4 : 0.05;
    CorrectorHead head = load(tensors, InstructionSet::scalar, storage);
    for (const std::int64_t index : {2, 3, 4, 5}) {
      const std::vector<float> logits = corrected(head, scene, index);
      const std::vector<double> expected = naive(tensors, scene.context(index));
      for (std::size_t v = 0; v < logits.size(); ++v) {
        CHECK(std::abs(static_cast<double>(logits[v]) - 0.25 - expected[v]) < tolerance);
      }
    }
  }
}

TEST_CASE("the corrector head gives the same bits on every instruction set") {
  const Scene scene;
  for (const Storage storage : {Storage::fp32, Storage::bf16}) {
    CorrectorHead scalar = load(random_head(1), InstructionSet::scalar, storage);
    const std::vector<float> expected = corrected(scalar, scene, 3);
    for (const InstructionSet set :
         {InstructionSet::avx2, InstructionSet::avx512, InstructionSet::amx}) {
      if (!sjd::hosts::supported(set)) continue;
      CorrectorHead head = load(random_head(1), set, storage);
      CHECK(corrected(head, scene, 3) == expected);
    }
  }
}

TEST_CASE("a draft whose neighbours did not change is left alone") {
  Scene scene;
  scene.now = scene.before;
  CorrectorHead head = load(random_head(1));
  std::vector<float> logits(vocab, 0.25F);
  const std::vector<CorrectionContext> drafts = scene.drafts();
  head.begin(drafts);
  CHECK_FALSE(head.correct(scene.context(3), logits));
  CHECK(logits == std::vector<float>(vocab, 0.25F));
}

TEST_CASE("the corrector head refuses rows that it was not given") {
  const Scene scene;
  CorrectorHead head = load(random_head(1));
  std::vector<float> logits(vocab);
  CHECK_THROWS_AS(head.correct(scene.context(3), logits), Error);
  const auto refused = [&](std::int64_t index, std::int64_t rows, std::int64_t columns) {
    const CorrectionContext draft{
        scene.before, scene.now, index, 2, {scene.hidden.data(), rows, columns}};
    CHECK_THROWS_AS(head.begin({&draft, 1}), Error);
  };
  refused(0, 7, dim);
  refused(5, 5, dim);
  refused(3, 7, dim - 1);
  const std::vector<CorrectionContext> apart{scene.context(2), scene.context(4)};
  CHECK_THROWS_AS(head.begin(apart), Error);
  const std::vector<CorrectionContext> right{scene.context(4), scene.context(5)};
  head.begin(right);
  CHECK_THROWS_AS(head.correct(scene.context(3), logits), Error);
}

namespace {

CorrectorHead head_of(std::int64_t together, InstructionSet set, Storage storage) {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "corrector.safetensors";
  sjd::test::write_safetensors(path, random_head(1));
  return {sjd::hosts::read_corrector_weights(path, vocab, dim, storage), set, together};
}

/// The changed logits of all drafts, left to right; after its turn draft `i` becomes token
/// moves[i - 2] where that is not negative.
std::vector<std::vector<float>> walk(CorrectorHead& head, const std::vector<std::int32_t>& moves) {
  Scene scene;
  const std::vector<CorrectionContext> drafts = scene.drafts();
  std::vector<std::vector<float>> all;
  head.begin(drafts);
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    all.emplace_back(vocab, 0.25F);
    static_cast<void>(head.correct(drafts[i], all.back()));
    if (moves[i] >= 0) scene.now.window[i + 2].token = moves[i];
  }
  return all;
}

}  // namespace

TEST_CASE("drafts computed together give the bits of one by one") {
  for (const Storage storage : {Storage::fp32, Storage::bf16}) {
    for (const InstructionSet set : {InstructionSet::scalar, InstructionSet::avx2,
                                     InstructionSet::avx512, InstructionSet::amx}) {
      if (!sjd::hosts::supported(set)) continue;
      CorrectorHead one = head_of(1, set, storage);
      for (const std::int64_t together : {2, 3, 16}) {
        CorrectorHead many = head_of(together, set, storage);
        // No draft moves, all do, one does, one moves back to what it was.
        for (const std::vector<std::int32_t>& moves : {std::vector<std::int32_t>{-1, -1, -1, -1},
                                                       {40, 41, 42, 43},
                                                       {-1, 8, -1, -1},
                                                       {-1, 33, -1, -1}}) {
          CHECK(walk(many, moves) == walk(one, moves));
        }
      }
    }
  }
}

TEST_CASE("a corrector file is read strictly") {
  for (const auto& [name, tensor] : random_head(1)) {
    TestTensors missing = random_head(1);
    missing.erase(name);
    require_refused(missing, name);
    TestTensors other = random_head(1);
    other[name].shape.push_back(1);
    require_refused(other, name);
  }
  TestTensors extra = random_head(1);
  extra["more"] = {"F32", {1}, {0.0F}};
  require_refused(extra, "more");
  TestTensors unordered = random_head(1);
  unordered["neighbours"] = integers({2, 1, 9, 10});
  require_refused(unordered, "neighbours");
  TestTensors infinite = random_head(1);
  infinite["inner.bias"].values[3] = std::numeric_limits<float>::infinity();
  require_refused(infinite, "inner.bias");
}

namespace {

/// A random model with a random head, as a directory.
struct Directory {
  sjd::test::TemporaryDirectory folder;

  Directory() {
    sjd::test::write_random_model(folder.path(), sjd::test::tiny_shape(), 4);
    sjd::test::write_safetensors(folder.path() / "corrector.safetensors", random_head(9, 3.0));
  }
  [[nodiscard]] LlamaHost host(std::int64_t sequences = 3, Storage storage = Storage::bf16) const {
    return LlamaHost::load(
        folder.path(), "sjd2.safetensors",
        {.max_sequences = sequences, .storage = storage, .corrector = "corrector.safetensors"});
  }
};

std::vector<sjd::GenerationRequest<LlamaHost::Prompt>> some_requests() {
  std::vector<sjd::GenerationRequest<LlamaHost::Prompt>> requests;
  for (std::size_t i = 0; i < 5; ++i) {
    requests.push_back({.prompt = {2, 3}, .tokens = 60, .seed = 5, .sample = i});
    if (i % 2 == 1) requests.back().guidance = {2.0F};
    if (i == 2) requests.back().sampling.top_k = 8;
    if (i == 4) requests.back().sampling.temperature = 0.5F;
  }
  return requests;
}

}  // namespace

TEST_CASE("hidden rows are what the image head multiplies") {
  const Directory directory;
  LlamaHost host = directory.host(3, Storage::fp32);  // products of fp32 are one fma chain
  const auto config = host.config();
  const auto weights = sjd::test::random_model(config, true, 4);
  std::vector<float> logits(static_cast<std::size_t>(3 * vocab));
  std::vector<float> hidden(static_cast<std::size_t>(3 * dim));
  host.prefill(0, {2, 3}, {logits.data(), 1, vocab});
  const sjd::KeepLength keep{0, 0, 0};
  const sjd::InputRow rows[] = {
      {.position = 0, .token = 4}, {.position = 1, .token = 9}, {.position = 2, .token = 1}};
  sjd::ForwardPass<> pass{{&keep, 1}, rows, {}, {logits.data(), 3, vocab}};
  pass.hidden = {hidden.data(), 3, dim};
  host.forward(pass);
  const std::vector<float>& head = weights.at("image_head.weight").values;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t v = 0; v < static_cast<std::size_t>(vocab); ++v) {
      float sum = 0.0F;
      for (std::size_t k = 0; k < static_cast<std::size_t>(dim); ++k) {
        sum = std::fma(hidden[i * dim + k], head[v * dim + k], sum);
      }
      REQUIRE(sum == logits[i * vocab + v]);
    }
  }
  pass.hidden = {hidden.data(), 2, dim};
  CHECK_THROWS_AS(host.forward(pass), Error);
}

TEST_CASE("a host without a corrector head says so") {
  const Directory directory;
  LlamaHost host = LlamaHost::load(directory.folder.path(), "sjd2.safetensors");
  CHECK_THROWS_WITH(host.corrector_head(), Catch::Matchers::Contains("LlamaOptions::corrector"));
  CHECK_THROWS_AS(LlamaHost::load(directory.folder.path(), "sjd2.safetensors",
                                  {.corrector = "absent.safetensors"}),
                  Error);
}

TEST_CASE("GumbelEquality with an arbitrary corrector head draws AR's tokens") {
  const Directory directory;
  LlamaHost host = directory.host();
  const auto requests = some_requests();
  sjd::PlainAr ar{host, sjd::GumbelEquality{}};
  const auto expected = ar.generate(std::span{requests});
  for (const std::int64_t window : {2, 5, 16}) {
    sjd::SpeculativeJacobiDenoiser sjd{host,
                                       sjd::FixedWindow{.tokens = window},
                                       sjd::NoNoise{},
                                       sjd::GumbelEquality{},
                                       sjd::GumbelCoupling{},
                                       sjd::HeadCorrector{.depth = 7}};
    const auto found = sjd.generate(std::span{requests});
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].tokens == expected[i].tokens);
  }
}

TEST_CASE("a corrected sequence does not depend on its batch") {
  const Directory directory;
  const auto requests = some_requests();
  LlamaHost host = directory.host();
  LlamaHost alone = directory.host(1);
  const sjd::KarrasSchedule schedule{.levels = 1, .grid = 4, .rho_min = 2.0F, .rho_max = 16.0F};
  sjd::SpeculativeJacobiDenoiser many{host, sjd::FixedWindow{.tokens = 12}, schedule,
                                      sjd::HeadCorrector{}};
  sjd::SpeculativeJacobiDenoiser one{alone, sjd::FixedWindow{.tokens = 12}, schedule,
                                     sjd::HeadCorrector{}};
  const auto together = many.generate(std::span{requests});
  CHECK(many.corrector_seconds() > 0.0);
  CHECK(together[0].corrector_seconds > 0.0);
  CHECK(together[0].corrector_seconds <= together[0].library_seconds);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(one.generate(requests[i]).tokens == together[i].tokens);
  }
}
