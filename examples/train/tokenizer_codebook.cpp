// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_codebook.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "data_random.hpp"
#include "tokenizer_parallel.hpp"

namespace sjd::train {
namespace {

constexpr std::int64_t centre_count = code_count - 1;  // code 0 is white and never moves

float squared_error(const float* left, const float* right) {
  float sum = 0;
  for (std::int64_t value = 0; value < patch_values; ++value) {
    sum += (left[value] - right[value]) * (left[value] - right[value]);
  }
  return sum;
}

/// White in front of the centres [511, 48].
Codebook with_white(const std::vector<float>& centres) {
  std::vector<float> rows(patch_values, 1.0F);
  rows.insert(rows.end(), centres.begin(), centres.end());
  return Codebook(std::move(rows));
}

/// k-means++: each next centre is a patch drawn in proportion to its squared error so far.
std::vector<float> first_centres(const std::vector<float>& patches, SplitMix& random) {
  const auto count = static_cast<std::int64_t>(patches.size()) / patch_values;
  constexpr std::int64_t most = 65536;  // enough to seed from, and 511 passes over it are quick
  std::vector<const float*> pool;
  for (std::int64_t at = 0; at < std::min(count, most); ++at) {
    pool.push_back(
        &patches[static_cast<std::size_t>(at * count / std::min(count, most) * patch_values)]);
  }
  const std::vector<float> white(patch_values, 1.0F);
  std::vector<double> errors(pool.size());
  std::transform(pool.begin(), pool.end(), errors.begin(),
                 [&](const float* patch) { return squared_error(patch, white.data()); });
  std::vector<float> centres;
  for (std::int64_t centre = 0; centre < centre_count; ++centre) {
    double target = random.uniform() * std::accumulate(errors.begin(), errors.end(), 0.0);
    std::size_t chosen = 0;
    while (chosen + 1 < pool.size() && target >= errors[chosen]) target -= errors[chosen++];
    const float* patch = pool[chosen];
    centres.insert(centres.end(), patch, patch + patch_values);
    for (std::size_t at = 0; at < pool.size(); ++at) {
      errors[at] = std::min<double>(errors[at], squared_error(pool[at], patch));
    }
  }
  return centres;
}

struct Assignment {
  std::vector<std::int32_t> codes;  // [n]
  std::vector<float> errors;        // [n]
};

void assign(const Codebook& codebook, const std::vector<float>& patches, Assignment& inout) {
  on_all_cores(
      static_cast<std::int64_t>(inout.codes.size()), [&](std::int64_t begin, std::int64_t end) {
        for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) {
          inout.codes[at] = codebook.nearest(&patches[at * patch_values], &inout.errors[at]);
        }
      });
}

/// Moves every centre to the mean of its patches; patches nearest to white move no centre.
std::vector<float> move_centres(const std::vector<float>& patches, Assignment& inout) {
  std::vector<double> sums(code_count * patch_values);  // [512, 48]
  std::vector<std::int64_t> sizes(code_count);
  for (std::size_t at = 0; at < inout.codes.size(); ++at) {
    const auto code = static_cast<std::size_t>(inout.codes[at]);
    ++sizes[code];
    for (std::size_t value = 0; value < patch_values; ++value) {
      sums[code * patch_values + value] += patches[at * patch_values + value];
    }
  }
  std::vector<float> centres;
  for (std::size_t code = 1; code < code_count; ++code) {
    if (sizes[code] == 0) {
      const auto worst = std::max_element(inout.errors.begin(), inout.errors.end());
      const auto at = static_cast<std::size_t>(worst - inout.errors.begin());
      const auto* patch = &patches[at * patch_values];
      centres.insert(centres.end(), patch, patch + patch_values);
      *worst = 0;  // the next empty cluster takes another patch
      continue;
    }
    for (std::size_t value = 0; value < patch_values; ++value) {
      centres.push_back(
          static_cast<float>(sums[code * patch_values + value] / static_cast<double>(sizes[code])));
    }
  }
  return centres;
}

/// Reorders the centres from the largest cluster to the smallest.
std::vector<float> by_frequency(const std::vector<float>& centres, const Assignment& assignment) {
  std::vector<std::int64_t> sizes(code_count);
  for (const std::int32_t code : assignment.codes) ++sizes[static_cast<std::size_t>(code)];
  std::vector<std::size_t> order(centre_count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
    return sizes[left + 1] > sizes[right + 1];
  });
  std::vector<float> sorted;
  for (const std::size_t centre : order) {
    const float* row = &centres[centre * patch_values];
    sorted.insert(sorted.end(), row, row + patch_values);
  }
  return sorted;
}

}  // namespace

Codebook::Codebook(std::vector<float> rows) : rows_(std::move(rows)) {
  if (rows_.size() != code_count * patch_values) {
    throw std::runtime_error("codebook: not 512 rows of 48 values");
  }
  columns_.resize(rows_.size());
  for (std::size_t code = 0; code < code_count; ++code) {
    for (std::size_t value = 0; value < patch_values; ++value) {
      columns_[value * code_count + code] = rows_[code * patch_values + value];
    }
  }
}

std::int32_t Codebook::nearest(const float* patch, float* error) const {
  constexpr std::size_t block = 64;  // accumulators that stay in registers
  float best = std::numeric_limits<float>::infinity();
  std::int32_t code = 0;
  for (std::size_t first = 0; first < code_count; first += block) {
    std::array<float, block> sums{};
    for (std::size_t value = 0; value < patch_values; ++value) {
      const float* column = &columns_[value * code_count + first];
      for (std::size_t at = 0; at < block; ++at) {
        const float difference = patch[value] - column[at];
        sums[at] += difference * difference;
      }
    }
    for (std::size_t at = 0; at < block; ++at) {
      if (sums[at] < best) {
        best = sums[at];
        code = static_cast<std::int32_t>(first + at);
      }
    }
  }
  if (error != nullptr) *error = best;
  return code;
}

void Codebook::encode(std::span<const std::uint8_t> rgb, std::span<std::int32_t> codes) const {
  std::array<float, patch_values> patch{};
  for (std::int64_t index = 0; index < patches_per_picture; ++index) {
    cut_patch(rgb, index, patch.data());
    codes[static_cast<std::size_t>(index)] = is_white(patch.data()) ? 0 : nearest(patch.data());
  }
}

void cut_patch(std::span<const std::uint8_t> rgb, std::int64_t index, float* patch) {
  const std::int64_t corner = index / 16 * 4 * 64 + index % 16 * 4;
  for (std::int64_t row = 0; row < 4; ++row) {
    const auto* line = &rgb[static_cast<std::size_t>((corner + row * 64) * 3)];
    for (std::int64_t value = 0; value < 12; ++value) {
      patch[row * 12 + value] = static_cast<float>(line[value]) / 255;
    }
  }
}

bool is_white(const float* patch) {
  return std::all_of(patch, patch + patch_values, [](float value) { return value == 1.0F; });
}

Codebook learn_codebook(const std::vector<float>& patches, std::int64_t iterations,
                        std::uint64_t seed) {
  const std::size_t count = patches.size() / patch_values;
  if (count < centre_count) throw std::runtime_error("codebook: fewer than 511 patches");
  SplitMix random{seed};
  std::vector<float> centres = first_centres(patches, random);
  Assignment assignment{std::vector<std::int32_t>(count), std::vector<float>(count)};
  for (std::int64_t iteration = 0; iteration < iterations; ++iteration) {
    assign(with_white(centres), patches, assignment);
    const double error = std::accumulate(assignment.errors.begin(), assignment.errors.end(), 0.0);
    std::fprintf(stderr, "\rcodebook: iteration %lld of %lld, squared error %.5f per value",
                 static_cast<long long>(iteration + 1), static_cast<long long>(iterations),
                 error / static_cast<double>(patches.size()));
    centres = move_centres(patches, assignment);
  }
  std::fputc('\n', stderr);
  assign(with_white(centres), patches, assignment);
  return with_white(by_frequency(centres, assignment));
}

}  // namespace sjd::train
