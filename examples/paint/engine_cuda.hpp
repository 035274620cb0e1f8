// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "engine.hpp"

namespace sjd::paint {

/// The model of a directory on the current CUDA device. What needs CUDA lies in a library of its
/// own, opened here, so that paint itself runs without it.
///
/// errors  UsageError naming what is missing: a build with nvcc, the CUDA libraries, a device; what
///         the readers throw
[[nodiscard]] std::unique_ptr<Engine> load_cuda_engine(const std::filesystem::path& directory,
                                                       const std::string& weights_file,
                                                       std::int64_t sequences);

/// What the library offers under the name below; why: the reason of a null result, at most 512
/// bytes.
using MakeCudaEngine = Engine* (*)(const char* directory, const char* weights_file,
                                   std::int64_t sequences, char* why);
inline constexpr const char* make_cuda_engine_name = "sjd_paint_make_cuda_engine";
inline constexpr std::size_t why_size = 512;

}  // namespace sjd::paint
