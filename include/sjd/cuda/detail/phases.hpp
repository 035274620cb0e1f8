// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/config.hpp"

/// Kernels as phases: one body for CUDA and for a host executor.
///
/// A kernel is a type with Shared (trivial), Arguments and `run(block, arguments)`. run() calls
/// block.phase(f) and block.cluster_phase(f); f(thread) is what each thread does, and a barrier of
/// the block or of the cluster stands behind it. Between phases run() may look at what no thread of
/// the launch writes, and at nothing else: then every thread takes the same way. What threads found
/// out it may ask for behind a barrier of the cluster: block.ask(f) is f(shared), the same for all
/// blocks.
///
/// A kernel that also names a trivial type Own has one for each thread, in registers on a device:
/// f(thread, own) finds there what the same thread left in an earlier phase.
namespace sjd::cuda {

/// Launch shape of one kernel.
struct Geometry {
  std::int64_t clusters = 1;  ///< groups of blocks that share memory, one for each unit of work
  int blocks = 1;             ///< blocks in a cluster; > 1 needs compute capability 9.0
  int threads = 32;           ///< in a block; a power of two, 32 .. 512
  std::size_t words = 0;      ///< 32-bit words of dynamic shared memory of a block

  friend bool operator==(const Geometry&, const Geometry&) = default;
};

/// One thread within a phase.
template <class Shared>
struct Thread {
  int index = 0;                   ///< in its block
  int count = 1;                   ///< threads of a block
  int rank = 0;                    ///< block within the cluster
  int ranks = 1;                   ///< blocks of the cluster
  Shared* shared = nullptr;        ///< of its own block
  std::uint32_t* words = nullptr;  ///< [Geometry::words] of its own block
  /// [ranks], host executor only: where the shared memory of each block begins.
  unsigned char* const* peers = nullptr;

  /// Shared memory of another block of the cluster; only behind a cluster barrier.
  [[nodiscard]] SJD_DEVICE Shared& peer(int other) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    if (ranks > 1) {
      return *static_cast<Shared*>(__cluster_map_shared_rank(shared, static_cast<unsigned>(other)));
    }
    return *shared;
#elif defined(__CUDACC__)
    return *shared;
#else
    const auto offset = reinterpret_cast<unsigned char*>(shared) - peers[rank];
    return *reinterpret_cast<Shared*>(peers[other] + offset);
#endif
  }

  /// The same thread for phases that know one member of Shared and nothing else.
  template <class Part, class Whole>
  [[nodiscard]] SJD_DEVICE Thread<Part> part(Part Whole::*member) const {
    return {index, count, rank, ranks, &(shared->*member), words, peers};
  }
};

/// A block for phases that know the member `Member` of its shared memory and nothing else.
template <class Block, auto Member>
class PartBlock;
template <class Block, class Part, class Whole, Part Whole::*Member>
class PartBlock<Block, Member> {
 public:
  SJD_DEVICE explicit PartBlock(Block& block) : block_{block} {}

  [[nodiscard]] SJD_DEVICE std::int64_t cluster() const { return block_.cluster(); }
  [[nodiscard]] SJD_DEVICE int blocks() const { return block_.blocks(); }
  template <class Phase>
  SJD_DEVICE void phase(const Phase& phase) {
    block_.phase([phase](const Thread<Whole>& t) { phase(t.part(Member)); });
  }
  template <class Phase>
  SJD_DEVICE void cluster_phase(const Phase& phase) {
    block_.cluster_phase([phase](const Thread<Whole>& t) { phase(t.part(Member)); });
  }

 private:
  Block& block_;
};

namespace detail {

struct NoOwn {};
template <class Kernel>
struct OwnOf {
  using type = NoOwn;
};
template <class Kernel>
requires requires {
  typename Kernel::Own;
}
struct OwnOf<Kernel> {
  using type = typename Kernel::Own;
};

}  // namespace detail

/// Kernel::Own, or an empty type.
template <class Kernel>
using OwnOf = typename detail::OwnOf<Kernel>::type;

#if defined(__CUDACC__)
inline __device__ void atomic_add(std::uint32_t& to, std::uint32_t x) {
  atomicAdd(&to, x);
}
inline __device__ void atomic_add(std::uint64_t& to, std::uint64_t x) {
  atomicAdd(reinterpret_cast<unsigned long long*>(&to), x);
}
inline __device__ std::uint32_t atomic_fetch_add(std::uint32_t& to, std::uint32_t x) {
  return atomicAdd(&to, x);
}
template <class T>
__device__ void atomic_min(T& to, T x) {
  atomicMin(&to, x);
}
inline __device__ void atomic_min(std::uint64_t& to, std::uint64_t x) {
  atomicMin(reinterpret_cast<unsigned long long*>(&to), x);
}
template <class T>
__device__ void atomic_max(T& to, T x) {
  atomicMax(&to, x);
}
#else
template <class T>
void atomic_add(T& to, T x) {
  to += x;
}
inline std::uint32_t atomic_fetch_add(std::uint32_t& to, std::uint32_t x) {
  return std::exchange(to, to + x);
}
template <class T>
void atomic_min(T& to, T x) {
  to = std::min(to, x);
}
template <class T>
void atomic_max(T& to, T x) {
  to = std::max(to, x);
}

/// How the host executor orders what a device leaves open.
struct HostOrder {
  std::uint64_t seed = 1;
  unsigned char poison = 0xA5;  ///< every byte of shared and own memory before the first phase
};

/// Runs clusters on the CPU, one after another in a shuffled order. All phases up to a cluster
/// barrier run for one block before the next block begins, the threads of a phase in a new order
/// each time: what misses a barrier reads poison or old values.
template <class Kernel>
class HostCluster {
 public:
  using Shared = typename Kernel::Shared;
  using Own = OwnOf<Kernel>;
  static_assert(std::is_trivially_copyable_v<Shared> && std::is_trivially_copyable_v<Own>);

  HostCluster(const Geometry& geometry, HostOrder order)
      : geometry_{geometry}, order_{order}, random_{order.seed} {}

  void run_all(const typename Kernel::Arguments& arguments) {
    for (const std::int64_t cluster : shuffled<std::int64_t>(geometry_.clusters)) {
      begin(cluster);
      Kernel::run(*this, arguments);
      flush();
    }
  }

  [[nodiscard]] std::int64_t cluster() const { return cluster_; }
  [[nodiscard]] int blocks() const { return geometry_.blocks; }

  /// What a block does between two of its barriers.
  template <class Phase>
  void phase(Phase phase) {
    if constexpr (std::is_invocable_v<Phase, const Thread<Shared>&, Own&>) {
      waiting_.emplace_back(std::move(phase));
    } else {
      waiting_.emplace_back(
          [only = std::move(phase)](const Thread<Shared>& thread, Own&) { only(thread); });
    }
  }
  /// The same between two barriers of the cluster.
  template <class Phase>
  void cluster_phase(Phase next) {
    phase(std::move(next));
    flush();
  }
  /// What all blocks have found out.
  template <class Question>
  bool ask(const Question& question) const {
    if (!waiting_.empty()) throw std::logic_error{"a question without a cluster barrier before it"};
    const bool answer = question(*shared_.front());
    for (const auto& shared : shared_) {
      if (question(*shared) != answer) throw std::logic_error{"blocks of a cluster disagree"};
    }
    return answer;
  }

 private:
  void begin(std::int64_t cluster) {
    cluster_ = cluster;
    shared_.clear();
    words_.clear();
    peers_.clear();
    own_.resize(static_cast<std::size_t>(geometry_.blocks * geometry_.threads));
    std::memset(static_cast<void*>(own_.data()), order_.poison, own_.size() * sizeof(Own));
    for (int rank = 0; rank < geometry_.blocks; ++rank) {
      // One allocation each, so that an address sanitizer sees where a block's memory ends.
      shared_.push_back(std::make_unique<Shared>());
      words_.push_back(std::make_unique<std::uint32_t[]>(geometry_.words));
      std::memset(static_cast<void*>(shared_.back().get()), order_.poison, sizeof(Shared));
      std::memset(words_.back().get(), order_.poison, geometry_.words * sizeof(std::uint32_t));
      peers_.push_back(reinterpret_cast<unsigned char*>(shared_.back().get()));
    }
  }

  void flush() {
    for (const int rank : shuffled<int>(geometry_.blocks)) {
      const auto at = static_cast<std::size_t>(rank);
      for (const auto& phase : waiting_) {
        for (const int index : shuffled<int>(geometry_.threads)) {
          phase({index, geometry_.threads, rank, geometry_.blocks, shared_[at].get(),
                 words_[at].get(), peers_.data()},
                own_[static_cast<std::size_t>(rank * geometry_.threads + index)]);
        }
      }
    }
    waiting_.clear();
  }

  template <class Int>
  std::vector<Int> shuffled(Int count) {
    std::vector<Int> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), Int{0});
    std::shuffle(order.begin(), order.end(), random_);
    return order;
  }

  Geometry geometry_;
  HostOrder order_;
  std::mt19937_64 random_;
  std::int64_t cluster_ = 0;
  std::vector<std::unique_ptr<Shared>> shared_;                            // [blocks]
  std::vector<std::unique_ptr<std::uint32_t[]>> words_;                    // [blocks][words]
  std::vector<unsigned char*> peers_;                                      // [blocks]
  std::vector<Own> own_;                                                   // [blocks, threads]
  std::vector<std::function<void(const Thread<Shared>&, Own&)>> waiting_;  // since the last flush
};

/// Runs a kernel on the CPU; its pointers are host pointers then.
template <class Kernel>
void execute_on_host(const Geometry& geometry, const typename Kernel::Arguments& arguments,
                     HostOrder order = {}) {
  HostCluster<Kernel>{geometry, order}.run_all(arguments);
}
#endif

}  // namespace sjd::cuda
