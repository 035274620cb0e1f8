// SPDX-License-Identifier: Apache-2.0
#include "aten_model.hpp"

#include <ATen/Functions.h>

#include <cmath>
#include <limits>

namespace sjd::train {
namespace {

torch::Tensor bf16(const torch::Tensor& x) {
  return x.to(torch::kBFloat16);
}

torch::Tensor fp32(const torch::Tensor& x) {
  return x.to(torch::kFloat32);
}

/// x >> bits without the sign: x [..] I32.
torch::Tensor shifted(const torch::Tensor& x, std::int64_t bits) {
  return x.bitwise_right_shift(bits).bitwise_and_((std::int64_t{1} << (32 - bits)) - 1);
}

std::int64_t as_signed(std::uint32_t bits) {
  return static_cast<std::int32_t>(bits);
}

torch::Tensor table_of(const std::vector<float>& values, std::int64_t rows, torch::Device device) {
  return torch::tensor(values).view({1, rows, 1, -1}).to(device);
}

}  // namespace

AtenModel::AtenModel(const Weights& weights, torch::Device device, float dropout)
    : shape_{weights.shape}, parameters_{weights.table.all()}, device_{device}, dropout_{dropout} {
  std::vector<float> cosine;
  std::vector<float> sine;
  const std::int64_t half = shape_.head_dim / 2;
  for (std::int64_t position = 0; position < shape_.length(); ++position) {
    for (std::int64_t j = 0; j < half; ++j) {
      const double power = -static_cast<double>(j) / static_cast<double>(half);
      const double angle = static_cast<double>(position) * std::pow(shape_.rope_theta, power);
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  cosine_ = table_of(cosine, shape_.length(), device);
  sine_ = table_of(sine, shape_.length(), device);
}

/// q, k, v and gate, up stay together under the name of the first: one product reads them all.
std::map<std::string, torch::Tensor> AtenModel::split(const torch::Tensor& values) const {
  std::vector<std::int64_t> sizes;
  std::vector<const Parameter*> heads;
  for (const Parameter& p : parameters_) {
    const bool joins = p.name.ends_with("attention.k.weight") ||
                       p.name.ends_with("attention.v.weight") || p.name.ends_with("mlp.up.weight");
    if (joins) {
      sizes.back() += p.count;
    } else {
      sizes.push_back(p.count);
      heads.push_back(&p);
    }
  }
  const std::vector<torch::Tensor> pieces = at::split_with_sizes(values, sizes);
  std::map<std::string, torch::Tensor> named;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Parameter& p = *heads[i];
    const torch::Tensor piece = p.shape.size() == 1 ? pieces[i] : pieces[i].view({-1, p.shape[1]});
    named[p.name] = p.is_matrix ? bf16(piece) : piece;
  }
  return named;
}

/// The hash of kernel_math.hpp for every step, part and element at once.
torch::Tensor AtenModel::keep(const std::vector<std::uint32_t>& seeds, std::int64_t rows) const {
  if (seeds.empty() || dropout_ == 0.0F) return {};
  const std::int64_t steps = 2 * shape_.layers + 1;
  const auto parts = static_cast<std::int64_t>(seeds.size());
  std::vector<std::int32_t> salted;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto salt = static_cast<std::uint32_t>(step + 1) * 0x27d4eb2fU;
    for (const std::uint32_t seed : seeds) salted.push_back(static_cast<std::int32_t>(seed ^ salt));
  }
  const auto integers = torch::TensorOptions{}.dtype(torch::kInt32).device(device_);
  const torch::Tensor offsets = torch::tensor(salted).to(device_).view({steps, parts, 1});
  torch::Tensor x = at::arange(rows / parts * shape_.hidden, integers)
                        .mul_(as_signed(0x9e3779b9U))
                        .view({1, 1, -1})
                        .add(offsets);
  x = x.bitwise_xor(shifted(x, 16)).mul_(as_signed(0x85ebca6bU));
  x = x.bitwise_xor(shifted(x, 13)).mul_(as_signed(0xc2b2ae35U));
  const auto threshold = static_cast<std::int64_t>(static_cast<double>(dropout_) * 16777216.0);
  return fp32(shifted(x, 8).ge(threshold))
      .mul_(1.0F / (1.0F - dropout_))
      .view({steps, rows, shape_.hidden});
}

torch::Tensor AtenModel::dropped(const Pass& pass, std::int64_t step,
                                 const torch::Tensor& branch) const {
  return pass.keep.defined() ? branch * pass.keep[step] : branch;
}

/// Rows of a sequence: max_prompt words, <image> (text id 1), x_0 .. x_(T-2). [rows, hidden] F32
torch::Tensor AtenModel::embed(const Pass& pass, const AtenBatch& batch) const {
  const std::int64_t n = pass.sequences;
  const std::int64_t inputs = shape_.image_tokens() - 1;
  const torch::Tensor& text = pass.weights.at("text_embedding.weight");
  const torch::Tensor& position = pass.weights.at("image_position.weight");
  const torch::Tensor nothing = at::zeros({1, shape_.hidden}, text.options());
  const auto looked_up = [&](const torch::Tensor& table, const torch::Tensor& rows) {
    return at::index_select(table, 0, rows.reshape({-1})).view({n, -1, shape_.hidden});
  };
  const torch::Tensor words = looked_up(at::cat({nothing, text}), batch.words);
  const torch::Tensor start = (text[1] + position[0]).expand({n, 1, shape_.hidden});
  const torch::Tensor codes = at::cat({pass.weights.at("image_embedding.weight"), batch.fed});
  const torch::Tensor levels = at::cat({nothing, pass.weights.at("level_embedding.weight")});
  const torch::Tensor image = looked_up(codes, batch.inputs) + looked_up(levels, batch.levels) +
                              position.narrow(0, 1, inputs);
  return at::cat({words, start, image}, 1).view({-1, shape_.hidden});
}

torch::Tensor AtenModel::norm(const torch::Tensor& x, const torch::Tensor& weight) const {
  return x * (x.square().mean(-1, true) + shape_.epsilon).sqrt().reciprocal() * weight;
}

torch::Tensor AtenModel::rotate(const torch::Tensor& x) const {  // [sequences, L, heads, head_dim]
  const std::int64_t half = shape_.head_dim / 2;
  const torch::Tensor a = x.narrow(3, 0, half);
  const torch::Tensor b = x.narrow(3, half, half);
  return bf16(at::cat({a * cosine_ - b * sine_, b * cosine_ + a * sine_}, 3));
}

torch::Tensor AtenModel::attention(const Pass& pass, const std::string& layer,
                                   const torch::Tensor& normed) const {
  const std::int64_t n = pass.sequences;
  const std::int64_t length = shape_.length();
  const std::int64_t dim = shape_.head_dim;
  const std::int64_t groups = shape_.kv_heads;
  const std::int64_t share = shape_.heads / groups;
  const torch::Tensor qkv =
      at::mm(normed, pass.weights.at(layer + "attention.q.weight").t()).view({n, length, -1, dim});
  const auto part = [&](std::int64_t begin, std::int64_t heads) {
    return qkv.narrow(2, begin, heads);
  };
  const auto placed = [&](const torch::Tensor& x) {  // query heads of one group under one another
    return x.transpose(1, 2).reshape({n * groups, -1, dim});
  };
  const torch::Tensor& q_norm = pass.weights.at(layer + "attention.q_norm.weight");
  const torch::Tensor& k_norm = pass.weights.at(layer + "attention.k_norm.weight");
  const torch::Tensor q = placed(rotate(norm(fp32(part(0, shape_.heads)), q_norm)));
  const torch::Tensor k = placed(rotate(norm(fp32(part(shape_.heads, groups)), k_norm)));
  const torch::Tensor v = placed(part(shape_.heads + groups, groups));
  const torch::Tensor scores =
      fp32(at::bmm(q, k.transpose(1, 2))).view({n, groups, share, length, length}) *
      (1.0 / std::sqrt(static_cast<double>(dim)));
  const torch::Tensor seen =
      scores.masked_fill(pass.hidden, -std::numeric_limits<double>::infinity());
  const torch::Tensor law = bf16(at::softmax(seen, 4)).view({n * groups, share * length, length});
  const torch::Tensor heads = at::bmm(law, v)
                                  .view({n, shape_.heads, length, dim})
                                  .transpose(1, 2)
                                  .reshape({n * length, shape_.heads * dim});
  return fp32(at::mm(heads, pass.weights.at(layer + "attention.o.weight").t()));
}

torch::Tensor AtenModel::mlp(const Pass& pass, const std::string& layer,
                             const torch::Tensor& normed) const {
  const torch::Tensor wide = fp32(at::mm(normed, pass.weights.at(layer + "mlp.gate.weight").t()));
  const torch::Tensor gate = wide.narrow(1, 0, shape_.intermediate);
  const torch::Tensor up = wide.narrow(1, shape_.intermediate, shape_.intermediate);
  const torch::Tensor activated = bf16(gate * at::sigmoid(gate) * up);
  return fp32(at::mm(activated, pass.weights.at(layer + "mlp.down.weight").t()));
}

torch::Tensor AtenModel::losses(const torch::Tensor& values, const AtenBatch& batch,
                                const std::vector<std::uint32_t>& seeds) const {
  Pass pass;
  pass.sequences = batch.sequences();
  pass.weights = split(values);
  pass.keep = keep(seeds, pass.sequences * shape_.length());
  pass.hidden = batch.hidden_keys.unsqueeze(1);
  torch::Tensor h = dropped(pass, 0, embed(pass, batch));
  for (std::int64_t i = 0; i < shape_.layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    const auto normed = [&](const char* name) {
      return bf16(norm(h, pass.weights.at(layer + name)));
    };
    h = h + dropped(pass, 2 * i + 1, attention(pass, layer, normed("input_norm.weight")));
    h = h + dropped(pass, 2 * i + 2, mlp(pass, layer, normed("post_norm.weight")));
  }
  // The last T rows of a sequence are <image>, x_0 .. x_(T-2): they predict x_0 .. x_(T-1).
  const std::int64_t count = shape_.image_tokens();
  const torch::Tensor last = bf16(norm(h, pass.weights.at("norm.weight")))
                                 .view({pass.sequences, shape_.length(), shape_.hidden})
                                 .narrow(1, shape_.length() - count, count)
                                 .reshape({-1, shape_.hidden});
  const torch::Tensor logits = fp32(at::mm(last, pass.weights.at("image_head.weight").t()));
  return at::log_softmax(logits, 1).gather(1, batch.targets).neg().view({-1});
}

}  // namespace sjd::train
