// SPDX-License-Identifier: Apache-2.0
#include "safetensors_io.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sjd::train {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, c10::ScalarType>, 4> dtypes{{
    {"U8", torch::kUInt8},
    {"I32", torch::kInt32},
    {"BF16", torch::kBFloat16},
    {"F32", torch::kFloat32},
}};

constexpr std::uint64_t longest_header = 16U << 20U;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw std::runtime_error(path.string() + ": " + reason);
}

std::string dtype_name(const std::filesystem::path& path, const std::string& tensor,
                       c10::ScalarType type) {
  for (const auto& [name, candidate] : dtypes) {
    if (candidate == type) return name;
  }
  fail(path, "tensor " + tensor + " has a type that is not U8, I32, BF16 or F32");
}

c10::ScalarType dtype_of(const std::filesystem::path& path, const std::string& tensor,
                         const std::string& name) {
  for (const auto& [candidate, type] : dtypes) {
    if (name == candidate) return type;
  }
  fail(path, "tensor " + tensor + " has dtype " + name + ", not U8, I32, BF16 or F32");
}

std::string header_of(const std::filesystem::path& path, const TensorMap& tensors) {
  Json header = Json::object();
  std::uint64_t begin = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::uint64_t end = begin + tensor.nbytes();
    header[name] = {{"dtype", dtype_name(path, name, tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // keeps the first tensor aligned to 8 bytes
  return text;
}

/// The parsed header and where the data section lies.
struct Layout {
  Json header;
  std::uint64_t data_begin = 0;
  std::uint64_t data_bytes = 0;
};

Layout read_layout(std::ifstream& file, const std::filesystem::path& path) {
  std::uint64_t length = 0;
  const std::uint64_t total = std::filesystem::file_size(path);
  if (!file.read(reinterpret_cast<char*>(&length), sizeof length)) fail(path, "no header length");
  if (length > longest_header || length + sizeof length > total) fail(path, "bad header length");
  std::string text(length, ' ');
  if (!file.read(text.data(), static_cast<std::streamsize>(length))) fail(path, "short header");
  Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) fail(path, "the header is not a JSON object");
  header.erase("__metadata__");
  return {std::move(header), sizeof length + length, total - sizeof length - length};
}

torch::Tensor read_tensor(std::ifstream& file, const std::filesystem::path& path,
                          const Layout& layout, const std::string& name) {
  if (!layout.header.contains(name)) fail(path, "there is no tensor " + name);
  const Json& entry = layout.header[name];
  try {
    const auto type = dtype_of(path, name, entry.at("dtype").get<std::string>());
    const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
    const auto offsets = entry.at("data_offsets").get<std::array<std::uint64_t, 2>>();
    std::uint64_t bytes = c10::elementSize(type);
    for (const std::int64_t size : shape) {
      const auto factor = static_cast<std::uint64_t>(size);
      // Checked before allocating: a broken header must not ask for terabytes.
      if (size < 0 || (factor != 0 && bytes > layout.data_bytes / factor + 1)) {
        fail(path, "tensor " + name + " has an impossible shape");
      }
      bytes *= factor;
    }
    if (offsets[0] > offsets[1] || offsets[1] > layout.data_bytes ||
        offsets[1] - offsets[0] != bytes) {
      fail(path, "tensor " + name + " has offsets that do not fit its shape or the file");
    }
    torch::Tensor tensor = torch::empty(shape, type);
    file.seekg(static_cast<std::streamoff>(layout.data_begin + offsets[0]));
    file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(bytes));
    if (!file) fail(path, "tensor " + name + " cannot be read");
    return tensor;
  } catch (const nlohmann::json::exception& error) {
    fail(path, "tensor " + name + ": " + error.what());
  }
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors) {
  const std::filesystem::path partial = path.string() + ".partial";
  const std::string header = header_of(path, tensors);
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  const std::uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor flat = tensor.detach().to(torch::kCPU).contiguous();
    file.write(static_cast<const char*>(flat.data_ptr()),
               static_cast<std::streamsize>(flat.nbytes()));
  }
  file.close();
  if (!file) fail(partial, "cannot be written");
  std::filesystem::rename(partial, path);
}

TensorMap load_safetensors(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "cannot be opened");
  const Layout layout = read_layout(file, path);
  TensorMap tensors;
  for (const auto& [name, entry] : layout.header.items()) {
    tensors.emplace(name, read_tensor(file, path, layout, name));
  }
  return tensors;
}

torch::Tensor load_safetensor(const std::filesystem::path& path, const std::string& name) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "cannot be opened");
  return read_tensor(file, path, read_layout(file, path), name);
}

}  // namespace sjd::train
