// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_training.hpp"

#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <numeric>

#include "autocast.hpp"
#include "chart.hpp"
#include "picture_io.hpp"
#include "tokenizer_codes.hpp"
#include "tokenizer_parallel.hpp"

namespace sjd::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t steps_per_point = 20;  // of the loss curve
constexpr std::int64_t steps_per_save = 200;

struct Batch {
  torch::Tensor codes;    // [batch, 256] I32
  torch::Tensor targets;  // [batch, 3, 64, 64] in [0, 1]
};

/// Draws training pictures as often as the codebook did and augments them anew.
class BatchSource {
 public:
  BatchSource(const PictureSource& source, const std::vector<Caption>& captions,
              const Codebook& codebook, const DecoderSettings& settings)
      : source_(source),
        codebook_(codebook),
        seed_(settings.seed),
        device_(settings.device.device),
        ends_(picture_weights(captions)) {
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
  }

  [[nodiscard]] Batch draw(std::int64_t step, std::int64_t size) const {
    torch::Tensor rgb = torch::empty({size, picture_size, picture_size, 3}, torch::kUInt8);
    torch::Tensor codes = torch::empty({size, patches_per_picture}, torch::kInt32);
    const auto draw_one = [&](std::int64_t item) {
      SplitMix random{seed_, 0x6465636f, static_cast<std::uint64_t>(step),
                      static_cast<std::uint64_t>(item)};
      const auto end = std::upper_bound(ends_.begin(), ends_.end() - 1, random.uniform());
      const std::int64_t picture = end - ends_.begin();
      const std::span<std::uint8_t> own(rgb.data_ptr<std::uint8_t>() + item * picture_bytes,
                                        picture_bytes);
      source_.render(picture, source_.random_augmentation(picture, random), own);
      codebook_.encode(
          own, {codes.data_ptr<std::int32_t>() + item * patches_per_picture, patches_per_picture});
    };
    // Beside a GPU the drawing would be most of a step; each picture has a random stream of its
    // own.
    if (device_.is_cpu()) {
      for (std::int64_t item = 0; item < size; ++item) draw_one(item);
    } else {
      on_all_cores(size, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) draw_one(item);
      });
    }
    const torch::Tensor own = rgb.to(device_).permute({0, 3, 1, 2});
    return {codes.to(device_), own.to(torch::kFloat32).div_(255).contiguous()};
  }

 private:
  const PictureSource& source_;
  const Codebook& codebook_;
  std::uint64_t seed_;
  torch::Device device_;
  std::vector<double> ends_;  // [pictures], running sums of the weights
};

/// Mean absolute difference of the differences between neighbours, which keeps edges sharp.
torch::Tensor edge_loss(const torch::Tensor& error) {
  const std::int64_t last = picture_size - 1;
  return (error.narrow(3, 1, last) - error.narrow(3, 0, last)).abs().mean() +
         (error.narrow(2, 1, last) - error.narrow(2, 0, last)).abs().mean();
}

torch::Tensor loss_of(PictureDecoder& decoder, const Batch& batch, bool bfloat16) {
  torch::Tensor painted;  // [batch, 3, 64, 64]
  {
    const Autocast autocast(batch.targets.device(), bfloat16);
    painted = decoder->forward(batch.codes).to(torch::kFloat32);
  }
  // What the clamp removes costs little, but keeps a gradient that leads back into the range.
  const torch::Tensor clamped = painted.clamp(0, 1);
  const torch::Tensor error = clamped + 0.02 * (painted - clamped) - batch.targets;
  return error.abs().mean() + 4 * error.square().mean() + 0.5 * edge_loss(error);
}

double rate_at(std::int64_t step, const DecoderSettings& settings) {
  const double warm_up = std::min(1.0, static_cast<double>(step + 1) / 100);
  const double share = static_cast<double>(step) / static_cast<double>(settings.steps);
  const double cosine = 0.5 * (1 + std::cos(share * std::numbers::pi));
  return settings.learning_rate * warm_up * (0.01 + 0.99 * cosine);
}

/// What a checkpoint holds besides the model and the optimizer.
struct Progress {
  std::int64_t step = 0;
  std::vector<double> curve;  // one mean loss per steps_per_point steps
};

void save_checkpoint(const std::filesystem::path& path, const PictureDecoder& decoder,
                     torch::optim::Adam& optimizer, const Progress& progress) {
  torch::serialize::OutputArchive archive;
  torch::serialize::OutputArchive model;
  torch::serialize::OutputArchive moments;
  decoder->save(model);
  optimizer.save(moments);
  archive.write("model", model);
  archive.write("optimizer", moments);
  archive.write("step", torch::tensor(progress.step));
  archive.write("curve", torch::tensor(progress.curve, torch::kFloat64));
  archive.write("codebook", decoder->codebook);
  const std::string partial = path.string() + ".partial";
  archive.save_to(partial);
  std::filesystem::rename(partial, path);
}

Progress load_checkpoint(const std::filesystem::path& path, PictureDecoder& decoder,
                         torch::optim::Adam& optimizer) {
  Progress progress;
  if (!std::filesystem::exists(path)) return progress;
  torch::serialize::InputArchive archive;
  torch::serialize::InputArchive model;
  torch::serialize::InputArchive moments;
  torch::Tensor step;
  torch::Tensor curve;
  torch::Tensor codebook;
  archive.load_from(path.string(), decoder->codebook.device());
  archive.read("codebook", codebook);
  if (!torch::equal(codebook, decoder->codebook)) {
    throw std::runtime_error(path.string() + ": belongs to another codebook; remove it");
  }
  archive.read("model", model);
  archive.read("optimizer", moments);
  archive.read("step", step);
  archive.read("curve", curve);
  decoder->load(model);
  optimizer.load(moments);
  progress.step = step.item<std::int64_t>();
  curve = curve.to(torch::kCPU);
  progress.curve.assign(curve.data_ptr<double>(), curve.data_ptr<double>() + curve.numel());
  return progress;
}

void save_all(const PictureDecoder& decoder, torch::optim::Adam& optimizer,
              const Progress& progress, const std::filesystem::path& output) {
  save_checkpoint(output / "tokenizer.ckpt", decoder, optimizer, progress);
  save_safetensors(output / "decoder.safetensors", decoder->tensors());
  if (progress.curve.empty()) return;
  // The first points are so high that they would flatten the rest.
  Curve shown{"loss, training pictures", {}};
  for (const double loss : progress.curve) {
    const auto steps = static_cast<double>((shown.points.size() + 1) * steps_per_point);
    shown.points.push_back({steps, std::min(loss, 2 * progress.curve.back())});
  }
  write_png(output / "decoder_loss.png",
            line_chart({&shown, 1}, {"steps", "loss (l1 + 4 l2 + edges / 2)"}));
}

void show_progress(std::int64_t step, std::int64_t first, const DecoderSettings& settings,
                   double loss, Clock::time_point start) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const double left =
      seconds / static_cast<double>(step - first) * static_cast<double>(settings.steps - step);
  std::fprintf(stderr, "\rdecoder: step %lld of %lld, loss %.4f, %.0f s left   ",
               static_cast<long long>(step), static_cast<long long>(settings.steps), loss, left);
}

}  // namespace

void train_decoder(PictureDecoder& decoder, const PictureSource& source,
                   const std::vector<Caption>& captions, const Codebook& codebook,
                   const DecoderSettings& settings) {
  decoder->move_to(settings.device.device);
  torch::optim::Adam optimizer(decoder->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  Progress progress = load_checkpoint(settings.output / "tokenizer.ckpt", decoder, optimizer);
  const BatchSource batches(source, captions, codebook, settings);
  const std::int64_t first = progress.step;
  const Clock::time_point start = Clock::now();
  double sum = 0;
  while (progress.step < settings.steps) {
    for (auto& group : optimizer.param_groups()) {
      group.options().set_lr(rate_at(progress.step, settings));
    }
    optimizer.zero_grad();
    const torch::Tensor loss =
        loss_of(decoder, batches.draw(progress.step, settings.batch), settings.bfloat16);
    loss.backward();
    torch::nn::utils::clip_grad_norm_(decoder->parameters(), 1.0);
    optimizer.step();
    sum += loss.item<double>();
    if (++progress.step % steps_per_point == 0) {
      progress.curve.push_back(std::exchange(sum, 0) / steps_per_point);
      show_progress(progress.step, first, settings, progress.curve.back(), start);
    }
    if (progress.step % steps_per_save == 0 || progress.step == settings.steps) {
      save_all(decoder, optimizer, progress, settings.output);
    }
  }
  std::fputc('\n', stderr);
  decoder->move_to(torch::kCPU);
}

torch::Tensor paint_codes(PictureDecoder& decoder, const torch::Tensor& codes) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parts;
  for (std::int64_t begin = 0; begin < codes.size(0); begin += 32) {
    const auto part = codes.narrow(0, begin, std::min<std::int64_t>(32, codes.size(0) - begin));
    const torch::Tensor rgb = decoder->forward(part).clamp(0, 1).mul(255).round();
    parts.push_back(rgb.to(torch::kUInt8).permute({0, 2, 3, 1}).contiguous());
  }
  return torch::cat(parts);
}

}  // namespace sjd::train
