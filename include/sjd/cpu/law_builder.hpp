// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/core/sampling.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/cpu/threshold_search.hpp"

namespace sjd::cpu {

/// Classifier-free guidance of N branches: u + sum_b s_b (l_b - u), u the last branch.
///
/// shapes  branches [scales.size() + 1, vocab], fp32, bf16 or half numbers; guided [vocab],
///         overwritten
/// edge    a token that is -Inf in every branch stays -Inf; one that is +Inf in any branch is never
///         masked by a negative scale: it becomes +Inf or NaN; no scales: a copy of branch 0
/// source  arXiv 2207.12598 for one scale
template <class T = const float>
void guide(MatrixView<T> branches, std::span<const float> scales, std::span<float> guided,
           const KernelTable& table = kernels()) {
  const auto& kernel = table.template of<std::remove_const_t<T>>();
  const auto size = static_cast<std::int64_t>(guided.size());
  const T* last = branches.row(branches.rows - 1).data();
  if (scales.empty()) kernel.widen(last, guided.data(), size);
  for (std::size_t b = 0; b < scales.size(); ++b) {
    kernel.guide(branches.row(static_cast<std::int64_t>(b)).data(), last, scales[b],
                 b == 0 ? nullptr : guided.data(), guided.data(), size);
  }
}

/// Buffers that turn one row of logits into a law; reused from row to row.
class LawBuilder {
 public:
  explicit LawBuilder(const KernelTable& kernel = kernels()) : kernel_{&kernel}, search_{kernel} {}

  /// The law of one row after temperature, top-k and top-p.
  ///
  /// shapes  logits [vocab]
  /// edge    -Inf has no mass; temperature 0 is a point law
  /// errors  invalid_logits at NaN or +Inf, empty_support if every logit is -Inf
  void build(std::span<const float> logits, const SamplingOptions& options, TokenLaw& law) {
    const float top = largest(logits);
    if (options.temperature == 0.0F) {
      law.set_point(
          static_cast<TokenId>(std::find(logits.begin(), logits.end(), top) - logits.begin()));
      return;
    }
    const bool cut = options.top_k > 0 && options.top_k < static_cast<std::int64_t>(logits.size());
    make_room(logits.size());
    MassRow row{logits.data(), nullptr, static_cast<std::int64_t>(logits.size()), top,
                inverse_of(options.temperature)};
    if (cut) {
      row.floor = pack_largest(logits, options.top_k);
      row.logits = values_.data();
      row.ids = ids_.data();
      row.size = kept_;
    }
    const MassTotal all = kernel_->masses(row, ids_.data(), masses_.data());
    kept_ = all.size;
    if (cut) drop_ties(logits, row.floor, kept_ - options.top_k);
    if (options.top_p < 1.0F) keep_top_p(logits, options.top_p);
    const auto size = static_cast<std::size_t>(kept_);
    const std::uint64_t sum =
        kept_ == all.size
            ? all.sum
            : std::accumulate(masses_.begin(), masses_.begin() + kept_, std::uint64_t{0});
    law.set_list({ids_.data(), size}, {masses_.data(), size}, sum);
  }

  /// The same out of the logits of at most two branches, guided by `scale`, in one sweep that
  /// writes none of them; false if that sweep cannot tell, and nothing was done.
  ///
  /// It can tell of long rows of finite logits with a top-k and no top-p.
  ///
  /// shapes  row, last [vocab]; one branch: row = last
  template <LogitType T>
  [[nodiscard]] bool build_guided(std::span<const T> row, std::span<const T> last, float scale,
                                  const SamplingOptions& options, TokenLaw& law) {
    const auto size = static_cast<std::int64_t>(row.size());
    const std::int64_t k = options.top_k;
    if (k <= 0 || k >= size || options.top_p < 1.0F || options.temperature == 0.0F) return false;
    make_room(row.size());
    const LogitKernels<T>& kernel = kernel_->template of<T>();
    // A block of the sample is one line of the cache.
    const std::size_t shift = -reinterpret_cast<std::uintptr_t>(row.data()) / sizeof(T) % 16;
    const Pivots guess = guess_kth(row.size(), k, [&](std::int64_t stride) {
      kernel.guide_sample({row.data() + shift, last.data() + shift, scale}, stride, sample_blocks,
                          values_.data());
    });
    if (guess[0] == lowest) return false;
    MassRow list{values_.data(), ids_.data(), 0, 0.0F, inverse_of(options.temperature)};
    list.size = kernel.guide_from({row.data(), last.data(), scale, size, guess[0]}, ids_.data(),
                                  values_.data(), &list.top);
    if (list.size < k) return false;
    list.floor =
        search_.find_above({values_.data(), nullptr, list.size}, static_cast<double>(k), guess);
    const MassTotal all = kernel_->masses(list, ids_.data(), masses_.data());
    kept_ = all.size;
    const std::uint64_t dropped = kept_ > k ? drop_packed_ties(list, kept_ - k) : 0;
    const auto kept = static_cast<std::size_t>(kept_);
    law.set_list({ids_.data(), kept}, {masses_.data(), kept}, all.sum - dropped);
    return true;
  }

 private:
  static constexpr float lowest = -std::numeric_limits<float>::infinity();
  static constexpr std::int64_t sample_blocks = 32;

  /// What differences to the largest logit are multiplied with; differences first: the largest
  /// then has exactly 0, at any temperature and any shift.
  static float inverse_of(float temperature) {
    return std::min(1.0F / temperature, std::numeric_limits<float>::max());
  }

  void make_room(std::size_t vocab) {
    ids_.resize(vocab + 16);
    masses_.resize(vocab + 16);
    values_.resize(vocab + 16);
  }

  [[nodiscard]] float largest(std::span<const float> logits) const {
    float top = lowest;
    if (!kernel_->largest(logits.data(), static_cast<std::int64_t>(logits.size()), &top)) {
      const auto bad = std::find_if(logits.begin(), logits.end(), [](float l) {
        return !(l < std::numeric_limits<float>::infinity());
      });
      throw Error{ErrorCode::invalid_logits,
                  "logits: NaN or +Inf at token " + std::to_string(bad - logits.begin())};
    }
    expects(top > lowest, ErrorCode::empty_support,
            "logits: every token is -Inf after guidance and grammar");
    return top;
  }

  /// Packs at least the k largest logits and their ids; returns the k-th largest.
  float pack_largest(std::span<const float> logits, std::int64_t k) {
    const auto size = static_cast<std::int64_t>(logits.size());
    const auto target = static_cast<double>(k);
    const Pivots guess = guess_kth(logits.size(), k, [&](std::int64_t stride) {
      kernel_->fp32.guide_sample({logits.data(), logits.data()}, stride, sample_blocks,
                                 values_.data());
    });
    kept_ = kernel_->pack_from(logits.data(), size, guess[0], ids_.data(), values_.data());
    const WeighedList packed{values_.data(), nullptr, kept_};
    if (guess[0] == lowest) return search_.find(packed, target, logits.size());
    if (kept_ >= k) return search_.find_above(packed, target, guess);
    const float floor = search_.find({logits.data(), nullptr, size}, target, logits.size());
    kept_ = kernel_->pack_from(logits.data(), size, floor, ids_.data(), values_.data());
    return floor;
  }

  /// Three values around the k-th largest, by a sample of 512 logits: the first is most likely
  /// below it. A guess decides how long the search takes, not what it finds.
  ///
  /// `read(stride)`: fills values_ with sixteen logits of the row from 0, stride, 2 stride, ... on
  template <class Read>
  Pivots guess_kth(std::size_t vocab, std::int64_t k, Read&& read) {
    constexpr double size = 16.0 * sample_blocks;
    const std::int64_t stride = static_cast<std::int64_t>(vocab) / sample_blocks;
    if (stride < 64) return {lowest, lowest, lowest};  // a short row is packed whole
    read(stride);
    const double share = static_cast<double>(k) / static_cast<double>(vocab);
    const double rank = share * size;
    const double spread = std::sqrt(rank * (1.0 - share));
    const double below = rank + 3.0 * spread + 2.0;
    if (below >= size) return {lowest, lowest, lowest};
    return search_.near({values_.data(), nullptr, 16 * sample_blocks}, below,
                        std::max(1.0, rank - 2.0 * spread), 0.5 * spread);
  }

  /// Drops the last `excess` of the tokens whose logit is exactly the floor of a packed list, and
  /// returns what they weighed. There are ties too many only if the floor has a mass, and then
  /// every logit above has one: the i-th mass belongs to the i-th logit from the floor up.
  std::uint64_t drop_packed_ties(const MassRow& list, std::int64_t excess) {
    find_last_ties(list, static_cast<std::size_t>(excess));
    std::uint64_t dropped = 0;
    std::size_t out = drops_.back();
    for (std::size_t d = drops_.size(); d-- > 0;) {
      const std::size_t begin = drops_[d] + 1;
      const std::size_t end = d > 0 ? drops_[d - 1] : static_cast<std::size_t>(kept_);
      dropped += masses_[drops_[d]];
      if (begin == end) continue;
      std::copy(ids_.data() + begin, ids_.data() + end, ids_.data() + out);
      std::copy(masses_.data() + begin, masses_.data() + end, masses_.data() + out);
      out += end - begin;
    }
    kept_ = static_cast<std::int64_t>(out);
    return dropped;
  }

  /// Writes down where in ids_ the last `excess` logits are that equal the floor of a packed list,
  /// the last one first. Most stretches of sixteen have none.
  void find_last_ties(const MassRow& list, std::size_t excess) {
    drops_.resize(excess);
    std::size_t found = 0;
    auto at = static_cast<std::size_t>(kept_);  // the place in ids_ of logit i
    for (std::int64_t i = list.size; found < excess;) {
      const std::int64_t first = std::max<std::int64_t>(i - 16, 0);
      std::uint32_t ties = 0, kept = 0;
      for (std::int64_t j = first; j < i; ++j) {
        ties += list.logits[j] == list.floor ? 1U : 0U;
        kept += list.logits[j] >= list.floor ? 1U : 0U;
      }
      if (ties == 0) at -= kept;
      for (; ties > 0 && i > first && found < excess;) {
        const float logit = list.logits[--i];
        at -= logit >= list.floor ? 1U : 0U;
        drops_[found] = at;
        found += logit == list.floor ? 1U : 0U;
      }
      i = first;
    }
  }

  /// Drops the last `excess` of the tokens whose logit is exactly `floor`.
  void drop_ties(std::span<const float> logits, float floor, std::int64_t excess) {
    if (excess <= 0) return;
    const auto is_tie = [&](TokenId token) {
      return logits[static_cast<std::size_t>(token)] == floor;
    };
    std::int64_t left = std::count_if(ids_.begin(), ids_.begin() + kept_, is_tie) - excess;
    std::size_t out = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(kept_); ++i) {
      if (is_tie(ids_[i]) && left-- <= 0) continue;
      ids_[out] = ids_[i];
      masses_[out++] = masses_[i];
    }
    kept_ -= excess;
  }

  /// Keeps the smallest set of largest logits, lowest ids on a tie, whose mass reaches
  /// share x total; one token always stays.
  void keep_top_p(std::span<const float> logits, float share) {
    const auto size = static_cast<std::size_t>(kept_);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < size; ++i) {
      values_[i] = logits[static_cast<std::size_t>(ids_[i])];
      total += masses_[i];
    }
    const double needed = static_cast<double>(share) * static_cast<double>(total);
    const float least = search_.find({values_.data(), masses_.data(), kept_}, needed, total);
    std::uint64_t reached = 0;
    for (std::size_t i = 0; i < size; ++i) reached += values_[i] > least ? masses_[i] : 0U;
    std::size_t out = 0;
    for (std::size_t i = 0; i < size; ++i) {
      if (values_[i] < least) continue;
      if (values_[i] == least) {
        if (static_cast<double>(reached) >= needed) continue;
        reached += masses_[i];
      }
      ids_[out] = ids_[i];
      masses_[out++] = masses_[i];
    }
    kept_ = static_cast<std::int64_t>(out);
  }

  const KernelTable* kernel_;
  ThresholdSearch search_;
  std::int64_t kept_ = 0;
  std::vector<TokenId> ids_;           // [kept_], ascending; with room for what a kernel writes
  std::vector<std::uint32_t> masses_;  // [kept_], likewise
  std::vector<float> values_;          // [vocab], logits that a filter looks at; likewise
  std::vector<std::size_t> drops_;     // places in ids_ of ties too many, the last one first
};

}  // namespace sjd::cpu
