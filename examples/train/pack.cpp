// SPDX-License-Identifier: Apache-2.0
#include "pack.hpp"

#include <ATen/Functions.h>
#include <torch/types.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "data_options.hpp"
#include "safetensors_io.hpp"

namespace sjd::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t most_bytes = std::int64_t{15} << 20U;

fs::path part_path(const fs::path& folder, const std::string& name) {
  return folder / (name + ".safetensors");
}

void write_part(const fs::path& folder, const std::string& name, const TensorMap& tensors) {
  const fs::path path = part_path(folder, name);
  save_safetensors(path, tensors);
  const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
  std::printf("%s: %.1f MiB\n", path.c_str(), static_cast<double>(bytes) / (1 << 20));
  if (bytes >= most_bytes) throw std::runtime_error(path.string() + ": 15 MiB or more");
}

/// Tensors whose names begin with `prefix`.
TensorMap with_prefix(const TensorMap& all, const std::string& prefix) {
  TensorMap found;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) found.emplace(name, tensor);
  }
  return found;
}

/// In name order, the first of two parts of about the same size.
TensorMap first_half(const TensorMap& all) {
  std::size_t total = 0;
  for (const auto& [name, tensor] : all) total += tensor.nbytes();
  TensorMap half;
  std::size_t taken = 0;
  for (const auto& [name, tensor] : all) {
    if (2 * (taken + tensor.nbytes()) > total && !half.empty()) break;
    half.emplace(name, tensor);
    taken += tensor.nbytes();
  }
  return half;
}

void read_part(const fs::path& folder, const std::string& name, TensorMap& all) {
  for (auto& [key, tensor] : load_safetensors(part_path(folder, name))) {
    const bool is_value = tensor.scalar_type() == torch::kBFloat16;
    all.insert_or_assign(key, is_value ? tensor.to(torch::kFloat32) : tensor);
  }
}

/// Fills `group`.X for every X of `like`, from its file or, if that was left behind, by
/// otherwise(tensor of `like`).
template <class Otherwise>
void read_group(const fs::path& folder, const std::string& group, const std::string& like,
                const Otherwise& otherwise, TensorMap& all) {
  if (fs::exists(part_path(folder, group))) return read_part(folder, group, all);
  std::printf("%s: was left behind\n", part_path(folder, group).c_str());
  for (const auto& [name, tensor] : with_prefix(all, like + ".")) {
    all[group + name.substr(name.find('.'))] = otherwise(tensor);
  }
}

}  // namespace

int run_pack(std::span<char* const> args) {
  const StageOptions options{args, {{"checkpoint", ""}, {"output", ""}}};
  const TensorMap all = load_safetensors(options.text("checkpoint"));
  const fs::path folder = options.text("output");
  fs::create_directories(folder);
  TensorMap second_half = with_prefix(all, "weights.");
  const TensorMap half = first_half(second_half);
  for (const auto& [name, tensor] : half) second_half.erase(name);
  second_half.merge(with_prefix(all, "state."));
  write_part(folder, "weights-0", half);
  write_part(folder, "weights-1", second_half);
  for (const char* group : {"average", "first", "second"}) {
    TensorMap rounded = with_prefix(all, std::string{group} + ".");
    for (auto& [name, tensor] : rounded) tensor = tensor.to(torch::kBFloat16);
    write_part(folder, group, rounded);
  }
  return 0;
}

int run_unpack(std::span<char* const> args) {
  const StageOptions options{args, {{"input", ""}, {"checkpoint", ""}}};
  const fs::path folder = options.text("input");
  const auto same = [](const torch::Tensor& tensor) { return tensor; };
  TensorMap all;
  if (fs::exists(part_path(folder, "weights-0"))) {
    read_part(folder, "weights-0", all);
    read_part(folder, "weights-1", all);
    read_group(folder, "average", "weights", same, all);
  } else {
    read_part(folder, "average", all);
    read_group(folder, "weights", "average", same, all);
    all["state.step"] = at::zeros({1}, torch::kInt32);
    all["state.seconds"] = at::zeros({1}, torch::kFloat32);
  }
  for (const char* group : {"first", "second"}) {
    read_group(
        folder, group, "weights", [](const torch::Tensor& w) { return at::zeros_like(w); }, all);
  }
  save_safetensors(options.text("checkpoint"), all);
  return 0;
}

}  // namespace sjd::train
