// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

namespace sjd::train {

int run_base(std::span<char* const> args) {
  const StageOptions options{args, session_defaults()};
  TrainerOptions trainer = trainer_options(options);
  const std::filesystem::path folder = options.text("output");
  std::filesystem::create_directories(folder);
  trainer.checkpoint = folder / "base.ckpt";
  ModelShape shape;
  const Dataset data{options.text("data"), static_cast<std::size_t>(shape.max_prompt)};
  shape.text_vocabulary = data.words().size();
  Weights weights{shape};
  weights.initialize(trainer.seed);
  return run_session(options, trainer, data, weights, nullptr);
}

}  // namespace sjd::train
