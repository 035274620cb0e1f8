// SPDX-License-Identifier: Apache-2.0
#include "linear_peers.hpp"

#include <fmt/core.h>

#include <memory>

#if __has_include(<Eigen/Core>)
#define SJD_BENCH_EIGEN 1
#include <Eigen/Core>
#else
#define SJD_BENCH_EIGEN 0
#endif
#if SJD_BENCH_OPENBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int threads);
#endif
#if SJD_BENCH_ONEDNN
#include <dlfcn.h>
#include <dnnl.hpp>
#if DNNL_VERSION_MAJOR != 2
#error "bench_cpu: oneDNN 2 is asked for; configure with -DSJD_DNNL=NO to leave it out"
#endif
#endif

namespace sjd::bench {
namespace {

#if SJD_BENCH_ONEDNN
/// A matrix product whose weights oneDNN has laid out for itself.
class OneDnnLinear {
 public:
  OneDnnLinear(const LinearShape& shape, const std::vector<float>& x,
               const std::vector<float>& weight, dnnl::memory::data_type type) {
    using dnnl::memory;
    using Tag = memory::format_tag;
    const auto desc = [](std::int64_t a, std::int64_t b, memory::data_type t, Tag tag) {
      return memory::desc{{a, b}, t, tag};
    };
    const auto fp32 = memory::data_type::f32;
    const dnnl::matmul::primitive_desc product{
        dnnl::matmul::desc{desc(shape.rows, shape.inputs, type, Tag::ab),
                           desc(shape.inputs, shape.outputs, type, Tag::any),
                           desc(shape.rows, shape.outputs, fp32, Tag::ab)},
        engine_};
    x_ = placed(desc(shape.rows, shape.inputs, fp32, Tag::ab), x, product.src_desc());
    weight_ =
        placed(desc(shape.inputs, shape.outputs, fp32, Tag::ba), weight, product.weights_desc());
    y_ = memory{product.dst_desc(), engine_};
    product_ = dnnl::matmul{product};
  }

  void run() {
    product_.execute(stream_,
                     {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weight_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::memory placed(const dnnl::memory::desc& plain, const std::vector<float>& values,
                      const dnnl::memory::desc& wanted) {
    // oneDNN only reads from it.
    dnnl::memory from{plain, engine_, const_cast<float*>(values.data())};
    dnnl::memory to{wanted, engine_};
    dnnl::reorder{from, to}.execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::memory x_, weight_, y_;
  dnnl::matmul product_;
};
#endif

#if SJD_BENCH_EIGEN
void eigen_linear(const LinearShape& shape, const std::vector<float>& x,
                  const std::vector<float>& weight, std::vector<float>& out_y) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> in{x.data(), shape.rows, shape.inputs};
  const Eigen::Map<const Matrix> w{weight.data(), shape.outputs, shape.inputs};
  Eigen::Map<Matrix>{out_y.data(), shape.rows, shape.outputs}.noalias() = in * w.transpose();
}
#endif

#if SJD_BENCH_OPENBLAS
void openblas_linear(const LinearShape& shape, const std::vector<float>& x,
                     const std::vector<float>& weight, std::vector<float>& out_y) {
  const auto m = static_cast<int>(shape.rows), k = static_cast<int>(shape.inputs);
  const auto n = static_cast<int>(shape.outputs);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0F, x.data(), k, weight.data(), k,
              0.0F, out_y.data(), n);
}
#endif

}  // namespace

std::vector<Contender> linear_peers([[maybe_unused]] const LinearShape& shape,
                                    [[maybe_unused]] const std::vector<float>& x,
                                    [[maybe_unused]] const std::vector<float>& weight,
                                    [[maybe_unused]] std::vector<float>& y,
                                    [[maybe_unused]] int threads) {
  std::vector<Contender> peers;
#if SJD_BENCH_EIGEN
  peers.push_back(
      {"Eigen fp32", [&, shape] { eigen_linear(shape, x, weight, y); }, shape.operations()});
#endif
#if SJD_BENCH_OPENBLAS
  openblas_set_num_threads(threads);
  peers.push_back(
      {"OpenBLAS fp32", [&, shape] { openblas_linear(shape, x, weight, y); }, shape.operations()});
#endif
#if SJD_BENCH_ONEDNN
  // oneDNN takes as many threads as OpenMP gives it.
  if (void* limit = ::dlsym(RTLD_DEFAULT, "omp_set_num_threads"); limit != nullptr) {
    reinterpret_cast<void (*)(int)>(limit)(threads);
  }
  for (const auto type : {dnnl::memory::data_type::f32, dnnl::memory::data_type::bf16}) {
    const auto linear = std::make_shared<OneDnnLinear>(shape, x, weight, type);
    peers.push_back({type == dnnl::memory::data_type::f32 ? "oneDNN fp32" : "oneDNN bf16",
                     [linear] { linear->run(); }, shape.operations()});
  }
#endif
  return peers;
}

std::string linear_peer_names() {
  std::string there, missing;
  const auto name = [](std::string& list, const std::string& entry) {
    list += (list.empty() ? "" : ", ") + entry;
  };
  name(SJD_BENCH_EIGEN ? there : missing, SJD_BENCH_EIGEN ? "Eigen" : "Eigen (libeigen3-dev)");
  name(SJD_BENCH_OPENBLAS ? there : missing,
       SJD_BENCH_OPENBLAS ? "OpenBLAS" : "OpenBLAS (libopenblas-dev)");
  name(SJD_BENCH_ONEDNN ? there : missing, SJD_BENCH_ONEDNN ? "oneDNN" : "oneDNN (libdnnl-dev)");
  if (missing.empty()) return "beside " + there;
  return "beside " + (there.empty() ? "nobody" : there) + "; not installed: " + missing;
}

}  // namespace sjd::bench
