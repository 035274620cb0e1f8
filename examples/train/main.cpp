// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstring>
#include <exception>
#include <span>
#include <string_view>

#include "corrector.hpp"
#include "data.hpp"
#include "device.hpp"
#include "export.hpp"
#include "pack.hpp"
#include "progress.hpp"
#include "session.hpp"
#include "tokenizer.hpp"

namespace {

constexpr const char* help =
    R"(train: everything from a font to the weights of a text-to-picture model.

Stages, in the order in which they are run (each continues where it was stopped):

  train data       renders the pictures, reads their captions, splits them by concept family
  train tokenizer  learns 512 patches of 4x4 pixels, codes all pictures, trains the picture decoder
  train base       trains the autoregressive transformer on clean tokens
  train denoise    fine-tunes it on noise-perturbed tokens, so that SJD2 can decode it
  train eval       nats per token of a checkpoint, by split and by noise level
  train export     writes the model directory that `paint` reads
  train corrector  trains the corrector head of a model directory on traces of its own decoding
  train curves     draws the curves of a run's log anew
  train pack       cuts a checkpoint into files below 15 MiB; unpack joins them again
  train check      compares the written-out gradient with finite differences (half a minute)

  train tokenizer --data DIR --output DIR [--steps 6000] [--batch 16] [--bf16 0] [--patches 600000]
                [--iterations 40] [--augmentations 32] [--device cpu] [--seed 1]
  train base    --data DIR --output DIR [--minutes 75] [--steps 0] [--workers 1] [--batch 32]
                [--micro-batch 16] [--rate 1.5e-3] [--final-rate 1e-4] [--warmup 200]
                [--dropout 0.1] [--decay 0.1] [--average 0.998] [--clip 1] [--seed 1]
                [--empty 0.1] [--name-only 0.6] [--plain 0] [--device cpu]
                [--report-seconds 60] [--save-seconds 180] [--sample-seconds 600]
  train denoise --data DIR --output DIR [--init base/base.ckpt] [--clean 0.4]
                [--feed posterior_mean|raw] and everything that base takes;
                without --init it is trained jointly from scratch; the checkpoint remembers the feed
  train eval    --data DIR --checkpoint FILE [--weights average|weights] [--noise 0|1]
  train export  --base FILE --data DIR --output DIR [--denoise FILE] [--reference FILE]
  train curves  --run DIR --output FILE.png
  train pack    --checkpoint FILE --output DIR
  train unpack  --input DIR --checkpoint FILE
  train check   [--device cpu]
  train corrector --model DIR [--weights sjd2.safetensors] [--output corrector.safetensors] [--minutes 12]
                [--rounds 4] [--workers 1] [--trace-share 0.5] [--invented 0.5] [--init FILE] [--loop FILE] [--traces FILE]
                [--width 256] [--window 48] [--batch 256] [--rate 2e-3] [--final-rate 1e-4] [--seed 1]
                [--neighbours near|1,2,14,...] [--targets law|sample] [--dropout 0.1] [--decay 0.02]
                [--lookup 1] [--steps 0]; --trace-share 0 fits on kept --traces alone;
                --loop is the head that decodes in the first round, if not that of --init

A worker is one thread with one core; give it its own (`taskset -c 0`), and compile elsewhere.
--device cuda computes on the first GPU, where LibTorch has CUDA; workers then draw batches.
--device aten-cpu does on the CPU what --device cuda does; train check --device compares the two
ways. Without such a device a stage ends with 69.
SIGINT and SIGTERM write a checkpoint and exit with 130; the same command continues, also with more
--minutes or --workers. The output folder gets log.jsonl, curves.png and samples-STEP.png (real
pictures on top, then drawn with guidance 3, then without).
)";

using Stage = int (*)(std::span<char* const>);

Stage find_stage(std::string_view name) {
  if (name == "corrector") return sjd::train::run_corrector;
  if (name == "data") return sjd::train::run_data;
  if (name == "tokenizer") return sjd::train::run_tokenizer;
  if (name == "base") return sjd::train::run_base;
  if (name == "denoise") return sjd::train::run_denoise;
  if (name == "eval") return sjd::train::run_eval;
  if (name == "check") return sjd::train::run_check;
  if (name == "curves") return sjd::train::run_curves;
  if (name == "export") return sjd::train::run_export;
  if (name == "pack") return sjd::train::run_pack;
  if (name == "unpack") return sjd::train::run_unpack;
  return nullptr;
}

}  // namespace

int main(int count, char** words) {
  const std::span<char* const> args{words + 1, static_cast<std::size_t>(count > 0 ? count - 1 : 0)};
  if (args.empty() || std::string_view{args[0]} == "--help" ||
      std::string_view{args[0]} == "help") {
    std::fputs(help, args.empty() ? stderr : stdout);
    return args.empty() ? 2 : 0;
  }
  const Stage stage = find_stage(args[0]);
  if (stage == nullptr) {
    std::fprintf(stderr, "train: there is no stage %s; see train --help\n", args[0]);
    return 2;
  }
  try {
    return stage(args.subspan(1));
  } catch (const sjd::train::DeviceMissing& error) {
    std::fprintf(stderr, "train %s: %s\n", args[0], error.what());
    return sjd::train::DeviceMissing::exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train %s: %s\n", args[0], error.what());
    return 1;
  }
}
