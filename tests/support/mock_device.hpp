// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "sjd/model.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// Memory of a pretended device: pages that the CPU can only touch while they are open. Whoever
/// reads or writes them outside of a transfer or a launch dies with a segmentation fault.
class DevicePages {
 public:
  void* allocate(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t size = (bytes + page - 1) / page * page;
    void* pages = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc{};
    blocks_[static_cast<std::byte*>(pages)] = size;
    allocations += 1;
    return pages;
  }
  void deallocate(void* pages) {
    const auto block = blocks_.find(static_cast<std::byte*>(pages));
    if (block == blocks_.end()) throw std::logic_error{"a pointer that was never allocated"};
    ::munmap(pages, block->second);
    blocks_.erase(block);
  }
  ~DevicePages() {
    for (const auto& [pages, size] : blocks_) ::munmap(pages, size);
  }
  DevicePages() = default;
  DevicePages(const DevicePages&) = delete;
  DevicePages& operator=(const DevicePages&) = delete;

  [[nodiscard]] std::size_t live() const { return blocks_.size(); }

  /// Opens the block that holds [pointer, pointer + bytes) while `work` runs.
  template <class Work>
  void open(const void* pointer, std::size_t bytes, Work&& work) {
    const auto* address = static_cast<const std::byte*>(pointer);
    const auto behind = blocks_.upper_bound(const_cast<std::byte*>(address));
    if (behind == blocks_.begin()) throw std::logic_error{"not a device pointer"};
    const auto block = std::prev(behind);
    if (address + bytes > block->first + block->second) {
      throw std::logic_error{"a transfer past the end of a device block"};
    }
    struct Guard {
      std::byte* pages;
      std::size_t size;
      Guard(std::byte* p, std::size_t s) : pages{p}, size{s} {
        ::mprotect(pages, size, PROT_READ | PROT_WRITE);
      }
      ~Guard() { ::mprotect(pages, size, PROT_NONE); }
    };
    const Guard guard{block->first, block->second};
    work();
  }

  std::int64_t allocations = 0;

 private:
  std::map<std::byte*, std::size_t> blocks_;
};

/// One recorded operation of the pretended device.
struct Launch {
  std::string name;
  std::int64_t rows = 0;
  const void* logits = nullptr;
  friend bool operator==(const Launch&, const Launch&) = default;
};

/// A model in device memory. Its network is the table host, run while the pages are open.
class DeviceHost {
 public:
  using Memory = DeviceMemory;
  using Prompt = TablePrompt;

  explicit DeviceHost(TableOptions options) : inner_{options} {}

  [[nodiscard]] std::int64_t vocab_size() const { return inner_.vocab_size(); }
  [[nodiscard]] std::int64_t max_sequences() const { return inner_.max_sequences(); }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return inner_.embedding_table(); }
  [[nodiscard]] NoiseContract noise_contract() const { return inner_.noise_contract(); }

  void* allocate(std::size_t bytes) { return pages.allocate(bytes); }
  void deallocate(void* device) { pages.deallocate(device); }
  void upload(void* device, const void* host, std::size_t bytes) {
    launches.push_back({"upload", static_cast<std::int64_t>(bytes), nullptr});
    pages.open(device, bytes, [&] { std::memcpy(device, host, bytes); });
  }
  void download(void* host, const void* device, std::size_t bytes) {
    launches.push_back({"download", static_cast<std::int64_t>(bytes), nullptr});
    pages.open(device, bytes, [&] { std::memcpy(host, device, bytes); });
  }

  void prefill(std::int32_t sequence, const Prompt& prompt,
               MatrixView<float, DeviceMemory> logits) {
    launches.push_back({"prefill", logits.rows, logits.data});
    pages.open(logits.data, bytes_of(logits), [&] {
      inner_.prefill(sequence, prompt, {logits.data, logits.rows, logits.columns, logits.stride});
    });
  }

  void forward(const ForwardPass<DeviceMemory>& pass) {
    launches.push_back({"forward", static_cast<std::int64_t>(pass.rows.size()), pass.logits.data});
    const auto run = [&] {
      const auto& e = pass.embeddings;
      const auto& l = pass.logits;
      inner_.forward({pass.keep_length,
                      pass.rows,
                      {e.data, e.rows, e.columns, e.stride},
                      {l.data, l.rows, l.columns, l.stride}});
    };
    pages.open(pass.logits.data, bytes_of(pass.logits), [&] {
      if (pass.embeddings.rows == 0) return run();
      pages.open(pass.embeddings.data, bytes_of(pass.embeddings), run);
    });
  }

  DevicePages pages;
  std::vector<Launch> launches;

 private:
  template <class T>
  static std::size_t bytes_of(MatrixView<T, DeviceMemory> view) {
    return static_cast<std::size_t>(view.rows * view.stride) * sizeof(float);
  }

  TableHost inner_;
};

}  // namespace sjd::test
