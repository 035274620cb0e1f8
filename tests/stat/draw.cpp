// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>
#include <stdexcept>

#include "stat/statistic.hpp"
#include "support/compositions.hpp"
#include "support/table_corrector.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

constexpr std::int64_t block_pictures = 1'000;

/// The cell of a picture: its tokens as digits.
std::size_t cell_of(std::span<const TokenId> tokens, std::int64_t vocab) {
  std::size_t cell = 0;
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab) throw std::runtime_error{"a token outside the vocabulary"};
    cell = cell * static_cast<std::size_t>(vocab) + static_cast<std::size_t>(token);
  }
  return cell;
}

TableOptions table_of(const Instance& instance) {
  return {.vocab = instance.vocab, .dim = 2, .seed = instance.seed, .sequences = 5};
}

/// Some pictures of one statistic.
struct Drawing {
  const Statistic& statistic;
  bool lossless;
  std::uint64_t first;
  std::int64_t count;
  EProcess& process;
  const AfterBlock& after_block;

  void add(const std::vector<TokenId>& tokens) const {
    if (static_cast<std::int64_t>(tokens.size()) != statistic.instance.length) {
      throw std::runtime_error{"a picture of another length"};
    }
    process.add(cell_of(tokens, statistic.instance.vocab));
  }

  /// Calls draw_block(requests) until all pictures are drawn.
  template <class DrawBlock>
  void run(DrawBlock&& draw_block) const {
    const Request request = request_of(statistic.instance);
    std::vector<Request> requests;
    for (std::int64_t drawn = 0; drawn < count;) {
      const std::int64_t size = std::min(block_pictures, count - drawn);
      requests.assign(static_cast<std::size_t>(size), request);
      for (std::int64_t i = 0; i < size; ++i) {
        requests[static_cast<std::size_t>(i)].seed = statistic.seed;
        requests[static_cast<std::size_t>(i)].sample =
            first + static_cast<std::uint64_t>(drawn + i);
      }
      draw_block(requests);
      drawn += size;
      if (!after_block(drawn)) return;
    }
  }

  template <class Decoder>
  void run_decoder(Decoder& decoder) const {
    if (Decoder::is_lossless != lossless) {
      throw std::runtime_error{statistic.composition + ": its trait is_lossless says otherwise"};
    }
    run([&](const std::vector<Request>& requests) {
      for (const auto& picture : decoder.generate(std::span{requests})) add(picture.tokens);
    });
  }
};

void run_plain_ar(const Drawing& drawing) {
  TableHost host{table_of(drawing.statistic.instance)};
  PlainAr decoder{host};
  drawing.run_decoder(decoder);
}

void run_batch_minimum(const Drawing& drawing, bool cut) {
  TableHost host{table_of(drawing.statistic.instance)};
  BatchMinimumSjd decoder{host, PhiloxRandom{}, drawing.statistic.instance.window, cut};
  drawing.run([&](const std::vector<Request>& requests) {
    for (const Request& request : requests) {
      DecoderState state = decoder.start(0, request);
      while (!state.finished()) decoder.step({&state, 1});
      drawing.add(state.tokens);
    }
  });
}

/// Every composition that a plan may name.
template <class Body>
void for_each_registered(Body&& body) {
  for_each_composition(body);
  body(composition("SJD coupled, corrector", NoNoise{}, MaximalCoupling{}, TableCorrector{}));
  body(composition("SJD2 coupled, corrector", table_schedule(), TableCorrector{}));
  body(composition("ratio x 1.02", NoNoise{}, FreshRedraw{}, GenerousRatio{}));
  body(composition("stale law", NoNoise{}, StaleLawCoupling{}));
  body(composition("reused uniform", NoNoise{}, FreshRedraw{}, ReusedUniform{}));
}

}  // namespace

EProcess start_process(const Statistic& statistic) {
  const Instance& instance = statistic.instance;
  const TableHost host{table_of(instance)};
  std::size_t cells = 1;
  for (std::int64_t i = 0; i < instance.length; ++i) {
    cells *= static_cast<std::size_t>(instance.vocab);
  }
  std::vector<double> law(cells, 0.0);
  for (const auto& [tokens, p] : autoregressive_joint(host.law(), request_of(instance))) {
    law[cell_of(tokens, instance.vocab)] = static_cast<double>(p);
  }
  return EProcess{std::move(law)};
}

void draw_pictures(const Statistic& statistic, bool lossless, std::uint64_t first,
                   std::int64_t count, EProcess& inout_process, const AfterBlock& after_block) {
  const Drawing drawing{statistic, lossless, first, count, inout_process, after_block};
  const std::string& name = statistic.composition;
  if (name == "plain AR") return run_plain_ar(drawing);
  if (name == "own cursor" || name == "batch minimum") {
    return run_batch_minimum(drawing, name == "batch minimum");
  }
  bool known = false;
  for_each_registered([&](const auto& c) {
    if (c.name != name) return;
    known = true;
    TableHost host{options_for(c, table_of(statistic.instance))};
    c.with(host, statistic.instance.window, [&](auto& decoder) { drawing.run_decoder(decoder); });
  });
  if (!known) throw std::runtime_error{"no composition is called " + name};
}

}  // namespace sjd::test
