// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "session.hpp"

namespace sjd::train {

NoiseFrontEnd front_end(const Weights& weights, const Dataset& data, Feed feed) {
  TensorMap tensors;
  weights.store(weights.master, "", tensors);
  const std::vector<float> prior = data.log_unigram(weights.shape.image_vocabulary);
  torch::Tensor log_prior = torch::empty({weights.shape.image_vocabulary});
  std::copy(prior.begin(), prior.end(), log_prior.data_ptr<float>());
  // What is exported is rounded, and the noise must fit what is exported.
  const torch::Tensor table =
      tensors.at("image_embedding.weight").to(torch::kBFloat16).to(torch::kFloat32);
  return {table, log_prior, feed};
}

int run_denoise(std::span<char* const> args) {
  auto defaults = session_defaults();
  defaults.insert({{"init", "none"}, {"feed", "none"}, {"clean", "0.4"}});
  defaults["minutes"] = "34";
  defaults["rate"] = "7e-4";
  defaults["seed"] = "2";
  const StageOptions options{args, defaults};
  TrainerOptions trainer = trainer_options(options);
  const std::filesystem::path folder = options.text("output");
  std::filesystem::create_directories(folder);
  trainer.checkpoint = folder / "denoise.ckpt";
  const std::optional<Feed> trained = std::filesystem::exists(trainer.checkpoint)
                                          ? feed_of_checkpoint(load_safetensors(trainer.checkpoint))
                                          : std::nullopt;
  trainer.feed = choose_feed(options.text("feed"), trained);
  trainer.segments = training::SegmentOptions{.clean_probability = number(options, "clean")};
  ModelShape shape;
  const Dataset data{options.text("data"), static_cast<std::size_t>(shape.max_prompt)};
  shape.text_vocabulary = data.words().size();
  Weights weights{shape};
  weights.initialize(trainer.seed);
  if (options.text("init") != "none") {
    const TensorMap tensors = load_safetensors(options.text("init"));
    weights.load(tensors, "average.", weights.master);
    weights.average = weights.master;
    weights.refresh_rounded();
  }
  // The noise contract is made of this table, so it must not move; without --init it stays the
  // random one, which separates the codes just as well.
  weights.table["image_embedding.weight"].is_frozen = true;
  if (std::filesystem::exists(trainer.checkpoint)) {
    TrainerState ignored;
    load_checkpoint(trainer.checkpoint, weights, ignored);
  }
  const NoiseFrontEnd noise = front_end(weights, data, trainer.feed);
  return run_session(options, trainer, data, weights, &noise);
}

}  // namespace sjd::train
