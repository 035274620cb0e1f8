// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>

namespace sjd::train {

/// Tensors of one file by name; the order in the file is the order of the names.
using TensorMap = std::map<std::string, torch::Tensor>;

/// Writes U8, I32, BF16 and F32 tensors to a temporary file and renames it over `path`, so that a
/// reader never meets half a file.
///
/// memory  tensors may be on any device and of any stride; they are copied to contiguous CPU memory
/// throws  std::runtime_error naming the file, the tensor and the reason
void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors);

/// Reads every tensor of a file into CPU memory of its own.
///
/// throws  std::runtime_error naming the file, the tensor and the reason
[[nodiscard]] TensorMap load_safetensors(const std::filesystem::path& path);

/// Reads one tensor and leaves the others on disk.
[[nodiscard]] torch::Tensor load_safetensor(const std::filesystem::path& path,
                                            const std::string& name);

}  // namespace sjd::train
