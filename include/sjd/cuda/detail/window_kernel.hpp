// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "sjd/core/numeric.hpp"
#include "sjd/cuda/batch_state.hpp"
#include "sjd/cuda/detail/law_draw.hpp"
#include "sjd/cuda/detail/posterior_feed.hpp"
#include "sjd/policies/noise_schedule.hpp"

namespace sjd::cuda {

/// How surviving drafts move to the law of a pass.
enum class Refresh : std::uint8_t {
  drawn,    ///< FreshRedraw or SharedNoiseCoupling, as the rows kernel drew
  maximal,  ///< MaximalCoupling; the rows kernel drew with Purpose::refresh
};

/// A noise schedule as kernels read it.
///
/// shapes  coefficients, checkpoint_level [levels + 1], by decoding level
/// edge    levels 0: no noise
struct NoiseTable {
  KarrasSchedule schedule{};
  std::int32_t levels = 0;
  const NoiseCoefficients* coefficients = nullptr;
  const std::int32_t* checkpoint_level = nullptr;
};

/// What the window kernel works on.
///
/// shapes  clean [vocab, dim], EmbeddingSpace::normalized; mean, scale [dim]; embeddings
///         [sequences x rows, dim], what the noise feed makes of each, null: not written;
///         input [sequences, branches, rows]; tasks [sequences, rows], row r of branch b of
///         sequence s has its logits in row (s branches + b) rows + r
struct WindowArguments {
  BatchState batch{};
  GrammarTable grammar{};
  NoiseTable noise{};
  Refresh refresh = Refresh::maximal;
  std::int64_t vocab = 0;
  std::int64_t rows = 1;      ///< of the widest pass, tip included
  std::int64_t branches = 1;  ///< the most that a sequence has
  const float* clean = nullptr;
  const float* mean = nullptr;
  const float* scale = nullptr;
  float* embeddings = nullptr;
  PosteriorTable posterior{};
  InputRow* input = nullptr;
  RowTask* tasks = nullptr;
};

namespace detail {

/// What a block knows of its row without asking anybody.
struct WindowCase {
  std::int64_t sequence = 0;
  std::int64_t row = 0;    // of the next pass; 0 is the tip
  std::int64_t slot = -1;  // behind the tip, from 0
  Position position = 0;   // of the slot
  std::int64_t iteration = 0;
  bool survives = false;   // an old draft
  bool refreshes = false;  // it takes a token from the law of this pass
  bool redrawn = false;    // the redraw kernel has chosen that token
  TokenId forced = -1;     // of an entering slot
};

/// One thread: the row of the next pass in every branch; null: there is none.
SJD_DEVICE inline void write_rows(const WindowArguments& a, const WindowCase& c,
                                  const DraftSlot* slot) {
  const std::int32_t own = a.batch.settings[c.sequence].branches;
  for (std::int64_t b = 0; b < a.branches; ++b) {
    InputRow row;
    row.sequence = -1;
    if (slot != nullptr && b < own) {
      row.sequence = static_cast<std::int32_t>(c.sequence);
      row.branch = static_cast<std::int32_t>(b);
      row.position = c.position;
      if (slot->level == 0) {
        row.token = slot->token;
      } else {
        row.level = a.noise.checkpoint_level[slot->level];
        row.embedding = c.sequence * a.rows + c.row;
      }
    }
    a.input[(c.sequence * a.branches + b) * a.rows + c.row] = row;
  }
  RowTask task;
  if (slot != nullptr) {
    task.sequence = static_cast<std::int32_t>(c.sequence);
    task.position = c.position + 1;
    task.iteration = c.iteration + 1;
    task.logits = c.sequence * a.branches * a.rows + c.row;
    task.branch_step = a.rows;
    task.law = a.batch.law(c.sequence, task.position, task.iteration);
  }
  a.tasks[c.sequence * a.rows + c.row] = task;
}

/// Shared memory of the block of one row.
struct WindowShared {
  BlockSum<Weight> sums;
  PosteriorShared posterior;
  DraftSlot slot;
  std::int32_t redraws;  // a token is drawn from the residual
  TokenId drawn;
  std::int32_t from_level;  // of the noise in z; 0 = there is none
  std::int32_t steps;       // one denoising step is due
};

struct JoinKernel;

/// See cuda::window. A block moves one slot and writes its row of the next pass.
struct WindowKernel {
  using Shared = WindowShared;
  using Arguments = WindowArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const auto sequence = static_cast<std::int32_t>(block.cluster() / a.rows);
    const SequenceState& state = a.batch.states[sequence];
    if (state.status != SequenceStatus::running) return;
    const WindowCase c =
        window_case(a, state, sequence, static_cast<std::int32_t>(block.cluster() % a.rows));
    if (state.moved == 0 || c.slot >= state.width || state.committed >= state.total) {
      block.phase([&a, c](const Here& t) {
        if (t.index == 0) write_rows(a, c, nullptr);
      });
      return;
    }
    if (c.slot < 0) {
      block.phase([&a, c](const Here& t) {
        const DraftSlot tip = tip_of(a, c);
        if (t.index == 0) write_rows(a, c, &tip);
      });
      return;
    }
    block.phase([&a, c](const Here& t) {
      PosteriorRow::clear(t.shared->posterior, t.index);
      begin(a, c, t);
    });
    if (a.refresh == Refresh::maximal && c.survives && !c.redrawn) redraw(block, a, c);
    block.phase([&a, c](const Here& t) { settle(a, c, t); });
    if (a.noise.levels > 0) {
      block.phase([&a, c](const Here& t) { move_noise(a, c, t); });
      if (a.posterior.scores != nullptr) feed_posterior(block, a, c);
    }
  }

 private:
  friend struct JoinKernel;

  SJD_DEVICE static WindowCase window_case(const Arguments& a, const SequenceState& state,
                                           std::int32_t sequence, std::int32_t row) {
    WindowCase c;
    c.sequence = sequence;
    c.row = row;
    c.slot = row - 1;
    c.position = state.committed + c.slot;
    c.iteration = state.iteration;
    c.survives = c.slot < state.kept;
    c.redrawn = c.slot < state.redrawn;
    if (!c.survives && c.slot >= 0) c.forced = a.grammar.forced_at(c.position);
    c.refreshes = c.survives || (c.slot == state.kept && state.has_law != 0 && c.forced < 0);
    return c;
  }

  SJD_DEVICE static DraftSlot tip_of(const Arguments& a, const WindowCase& c) {
    return {0, 0, a.batch.tokens[c.sequence * a.batch.most_tokens + c.position]};
  }
  SJD_DEVICE static LawView law_at(const Arguments& a, const WindowCase& c,
                                   std::int64_t iteration) {
    return {a.batch.laws, a.batch.law(c.sequence, c.position, iteration)};
  }
  SJD_DEVICE static std::uint64_t key_of(const Arguments& a, const WindowCase& c) {
    return a.batch.settings[c.sequence].key;
  }

  /// Thread 0: the slot before its refresh; an entering one as it enters.
  SJD_DEVICE static void begin(const Arguments& a, const WindowCase& c, const Here& t) {
    if (t.index > 0) return;
    Shared& s = *t.shared;
    s.redraws = 0;
    s.drawn = -1;
    if (c.survives) {
      s.slot = a.batch.slots[a.batch.slot(c.sequence, c.position)];
      s.slot.age += 1;
    } else {
      s.slot = {0, 0, -1};
      enter(a, c, s);
    }
    s.from_level = s.slot.level;
    if (c.refreshes) refresh(a, c, s);
  }

  /// See cpu::enter_slot; its law goes to the table, unless this pass gave one.
  SJD_DEVICE static void enter(const Arguments& a, const WindowCase& c, Shared& s) {
    LawHead& head = a.batch.laws.heads[a.batch.law(c.sequence, c.position, c.iteration)];
    if (c.forced >= 0) {
      head = {1, 1, TokenLaw::Kind::point, RowStatus::ok, c.forced, -1};
      s.slot.token = c.forced;
    } else if (a.noise.levels > 0) {
      s.slot.level = a.noise.levels;
      if (!c.refreshes) head = LawHead{};
    } else if (!c.refreshes) {
      head = {
          static_cast<std::uint64_t>(a.vocab), 0, TokenLaw::Kind::uniform, RowStatus::ok, -1, -1};
      const DrawKey draw{c.position, c.iteration, Purpose::entry};
      s.slot.token = static_cast<TokenId>(scale_to(draw_bits(key_of(a, c), draw), head.sum));
    }
  }

  /// See MaximalCoupling::refresh and FreshRedraw::refresh.
  SJD_DEVICE static void refresh(const Arguments& a, const WindowCase& c, Shared& s) {
    const LawView p = law_at(a, c, c.iteration);
    if (a.refresh == Refresh::drawn || c.redrawn || s.slot.token < 0) {
      s.slot.token = p.head.drawn;
      return;
    }
    const DrawKey keep{c.position, c.iteration, Purpose::couple_keep};
    const LawView q = law_at(a, c, c.iteration - 1);
    s.redraws = passes({p, q, s.slot.token}, key_of(a, c), keep) ? 0 : 1;
  }

  /// The residual of a draft that was not kept.
  template <class Block>
  SJD_DEVICE static void redraw(Block& block, const Arguments& a, const WindowCase& c) {
    const auto draw = [&a, c] {
      return LawDraw{law_at(a, c, c.iteration), law_at(a, c, c.iteration - 1), true};
    };
    block.phase([draw](const Here& t) {
      if (t.shared->redraws != 0) draw().add(t.index, t.count, t.shared->sums);
    });
    block.phase([](const Here& t) {
      if (t.shared->redraws != 0) t.shared->sums.add_groups(t.index, t.count);
    });
    block.phase([draw, &a, c](const Here& t) {
      if (t.shared->redraws == 0) return;
      const DrawKey key{c.position, c.iteration, Purpose::couple_residual};
      const TokenId token =
          draw().find(t.index, t.count, t.shared->sums, draw_bits(key_of(a, c), key));
      if (token >= 0) t.shared->drawn = token;
    });
  }

  /// Thread 0: token and level of the next pass, and its row.
  SJD_DEVICE static void settle(const Arguments& a, const WindowCase& c, const Here& t) {
    if (t.index > 0) return;
    Shared& s = *t.shared;
    if (s.redraws != 0) {
      s.slot.token = s.drawn;
      if (s.drawn < 0) {
        atomic_min(a.batch.lost[c.sequence], static_cast<std::uint64_t>(c.position));
      }
    }
    if (c.refreshes && s.slot.level > 0) {
      s.slot.level = a.noise.schedule.next_level(s.slot.level, c.slot + 1);
    }
    s.steps = s.slot.level > 0 && s.slot.level != s.from_level ? 1 : 0;
    a.batch.slots[a.batch.slot(c.sequence, c.position)] = s.slot;
    write_rows(a, c, &s.slot);
  }

  /// Every thread its channels: fresh noise, one denoising step, the row that the host sees.
  SJD_DEVICE static void move_noise(const Arguments& a, const WindowCase& c, const Here& t) {
    const Shared& s = *t.shared;
    if (s.slot.level == 0) return;
    float* z = a.batch.noisy + a.batch.slot(c.sequence, c.position) * a.batch.dim;
    const NoiseCoefficients from = a.noise.coefficients[s.from_level];
    const NoiseCoefficients to = a.noise.coefficients[s.slot.level];
    const float keep = to.sigma / from.sigma;
    const float pull = std::fmaf(-from.alpha, keep, to.alpha);
    const float* clean = s.slot.token < 0 ? nullptr : a.clean + s.slot.token * a.batch.dim;
    const DrawKey draw{c.position, c.iteration, Purpose::noise};
    for (std::int64_t first = 4 * t.index; first < a.batch.dim; first += 4 * t.count) {
      std::array<std::uint32_t, 4> words{};
      if (!c.survives) {
        words = draw_words(key_of(a, c), draw, static_cast<std::uint32_t>(first / 4));
      }
      for (int i = 0; i < 4 && first + i < a.batch.dim; ++i) {
        const std::int64_t d = first + i;
        const auto word = static_cast<std::size_t>(i);
        float value = c.survives ? z[d] : standard_normal(words[word]) * from.sigma;
        if (s.steps != 0 && clean != nullptr) value = std::fmaf(keep, value, pull * clean[d]);
        z[d] = value;
        if (a.embeddings != nullptr && a.posterior.scores == nullptr) {
          a.embeddings[(c.sequence * a.rows + c.row) * a.batch.dim + d] =
              std::fmaf(value, a.scale[d], a.mean[d]);
        }
      }
    }
  }

  /// See PosteriorMean::feed.
  template <class Block>
  SJD_DEVICE static void feed_posterior(Block& block, const Arguments& a, const WindowCase& c) {
    const auto row = [&a, c] {
      const std::int64_t place = c.sequence * a.rows + c.row;
      return PosteriorRow{a.batch.noisy + a.batch.slot(c.sequence, c.position) * a.batch.dim,
                          a.posterior.weights + place * a.vocab, a.embeddings + place * a.batch.dim,
                          a.vocab, a.batch.dim};
    };
    block.phase([&a, row](const Here& t) {
      const std::int32_t level = t.shared->slot.level;
      if (level == 0) return;
      row().score(a.posterior, a.noise.coefficients[level], t.shared->posterior, t.index, t.count);
    });
    block.phase([row](const Here& t) {
      if (t.shared->slot.level > 0) row().weigh(t.shared->posterior, t.index, t.count);
    });
    block.phase([row](const Here& t) {
      if (t.shared->slot.level > 0) row().add(t.shared->posterior, t.index);
    });
    block.phase([row](const Here& t) {
      if (t.shared->slot.level > 0) row().share(t.shared->posterior, t.index, t.count);
    });
    block.phase([&a, row](const Here& t) {
      if (t.shared->slot.level > 0) row().mix(a.posterior, t.index, t.count);
    });
  }
};

}  // namespace detail

}  // namespace sjd::cuda
