// SPDX-License-Identifier: Apache-2.0
// A state that is saved at any iteration resumes elsewhere as if nothing had happened; bytes that
// are cut, changed or somebody else's are refused.
#include <bit>
#include <cmath>
#include <iostream>
#include <limits>

#include "faults/fault_compositions.hpp"
#include "sjd/saved_state.hpp"

namespace sjd::test {
namespace {

using Bytes = std::vector<std::byte>;

constexpr const char* model = "table 19, prompt 3";

/// What `call` throws; io with no text if it returns.
template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::io, "nothing was thrown"};
}

/// Writes a right checksum over whatever the payload is now.
void seal(Bytes& bytes) {
  const std::uint64_t sum = detail::fnv64(std::span{bytes}.subspan(32));
  for (std::size_t i = 0; i < 8; ++i) bytes[24 + i] = static_cast<std::byte>(sum >> (8 * i));
}

/// A decode in mid-flight: noisy and clean slots, guidance and a long law.
struct MidFlight {
  TableHost host{{.vocab = 6, .dim = 2, .seed = 19, .posterior_mean = true}};
  SpeculativeJacobiDenoiser<TableHost, FixedWindow, KarrasSchedule> decoder{
      host, FixedWindow{.tokens = 4}, table_schedule()};
  Request request{.prompt = {{3}}, .tokens = 14, .seed = 6, .sample = 2, .guidance = {2.0F}};
  DecoderState state = decoder.start(0, request);

  MidFlight() {
    for (int i = 0; i < 3; ++i) decoder.step({&state, 1});
  }
  [[nodiscard]] Bytes bytes() const { return save_state(decoder, state, model); }
  [[nodiscard]] DecoderState load(std::span<const std::byte> bytes) const {
    return load_state(decoder, bytes, model, request);
  }
};

/// Little-endian number at `offset`.
std::uint64_t number_at(const Bytes& bytes, std::size_t offset, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    value |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  }
  return value;
}

}  // namespace

TEST_CASE("saved state: saved and resumed elsewhere at every iteration", "[faults]") {
  std::int64_t instances = 0;
  std::size_t largest = 0;
  for_each_decoder([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    for (const Request& request : fault_requests()) {
      std::vector<DecoderState> path;
      std::vector<Bytes> saved;
      FaultyHost host{fault_options(mean)};
      make(host, [&](auto& decoder) {
        using Decoder = std::remove_reference_t<decltype(decoder)>;
        if constexpr (detail::cache_follows_from_tokens<Decoder>()) {
          path.push_back(decoder.start(1, request));
          while (true) {
            saved.push_back(save_state(decoder, path.back(), model));
            largest = std::max(largest, saved.back().size());
            if (path.back().finished()) break;
            path.push_back(path.back());
            decoder.step({&path.back(), 1});
          }
        }
      });
      for (std::size_t i = 0; i < saved.size(); ++i) {
        FaultyHost other{fault_options(mean)};
        make(other, [&](auto& decoder) {
          using Decoder = std::remove_reference_t<decltype(decoder)>;
          if constexpr (detail::cache_follows_from_tokens<Decoder>()) {
            DecoderState state = load_state(decoder, saved[i], model, request, 1);
            CHECK(state == path[i]);
            restore_cache(other, state, request.prompt);
            while (!state.finished()) decoder.step({&state, 1});
            CHECK(state == path.back());
            instances += 1;
          }
        });
      }
    }
  });
  CHECK(instances > 300);
  std::cout << "F7 saved and resumed: " << instances << " instances, at most " << largest
            << " bytes\n";
}

TEST_CASE("saved state: a long picture fills its cache in several passes", "[faults]") {
  const Request request{.prompt = {{3}}, .tokens = 300, .seed = 6, .guidance = {2.0F}};
  TableHost first{{.vocab = 6, .seed = 19}};
  CoupledSjd<TableHost> decoder{first, FixedWindow{.tokens = 8}};
  DecoderState state = decoder.start(0, request);
  while (state.committed() < 200) decoder.step({&state, 1});
  TableHost second{{.vocab = 6, .seed = 19}};
  restore_cache(second, state, request.prompt);
  CHECK(second.calls == 1 + (state.committed() - 1 + 63) / 64);
  CoupledSjd<TableHost> resumed{second, FixedWindow{.tokens = 8}};
  while (!state.finished()) resumed.step({&state, 1});
  CHECK(state.tokens == decoder.generate(request).tokens);
}

TEST_CASE("saved state: every cut and every changed byte is refused", "[faults]") {
  const MidFlight flight;
  const Bytes good = flight.bytes();
  CHECK(flight.load(good) == flight.state);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    const Error error =
        error_of([&] { static_cast<void>(flight.load(std::span{good}.first(size))); });
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK(std::string{error.what()}.find("saved state: byte ") == 0);
  }
  std::int64_t changes = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (unsigned flip = 1; flip < 256; ++flip) {
      Bytes bad = good;
      bad[at] ^= static_cast<std::byte>(flip);
      if (error_of([&] { static_cast<void>(flight.load(bad)); }).code() == ErrorCode::bad_file) {
        changes += 1;
      } else {
        FAIL("byte " << at << " changed by " << flip << " went unseen");
      }
    }
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  CHECK(error_of([&] { static_cast<void>(flight.load(longer)); }).code() == ErrorCode::bad_file);
  std::cout << "F8 saved state: " << good.size() << " truncations, " << changes
            << " changed bytes refused\n";
}

TEST_CASE("saved state: forged bytes under a right checksum do no harm", "[faults]") {
  const MidFlight flight;
  const Bytes good = flight.bytes();
  std::int64_t refused = 0;
  std::int64_t loaded = 0;
  for (std::size_t at = 32; at < good.size(); ++at) {
    for (const unsigned flip : {0x01U, 0x02U, 0x10U, 0x7FU, 0x80U, 0xFFU}) {
      Bytes forged = good;
      forged[at] ^= static_cast<std::byte>(flip);
      seal(forged);
      MidFlight mine;
      try {
        DecoderState state = mine.load(forged);
        loaded += 1;
        restore_cache(mine.host, state, mine.request.prompt);
        while (!state.finished()) mine.decoder.step({&state, 1});
        CHECK(state.committed() == mine.request.tokens);
      } catch (const Error& error) {
        CHECK((error.code() == ErrorCode::bad_file || error.code() == ErrorCode::contract));
        refused += 1;
      }
    }
  }
  CHECK(refused > 1'000);
  CHECK(loaded > 100);
  std::cout << "F9 forged states: " << refused << " refused, " << loaded << " decoded to the end\n";
}

TEST_CASE("saved state: an embedding that no noise reaches is refused", "[faults]") {
  // Products of such a finite number are not finite, and the model would be fed NaN.
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float far :
       {0x1.8p40F, -1e30F, infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    CAPTURE(far);
    MidFlight flight;
    const auto noisy = std::find_if(flight.state.window.begin(), flight.state.window.end(),
                                    [](const Slot& slot) { return !slot.noisy.empty(); });
    REQUIRE(noisy != flight.state.window.end());
    noisy->noisy.back() = far;
    const Error error = error_of([&] { static_cast<void>(flight.load(flight.bytes())); });
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK(std::string{error.what()}.find("no noise reaches") != std::string::npos);
    noisy->noisy.back() = std::copysign(0x1p40F, far);
    CHECK(flight.load(flight.bytes()) == flight.state);
  }
}

TEST_CASE("saved state: a window wider than the plan allows is refused", "[faults]") {
  MidFlight flight;
  REQUIRE(flight.state.window.size() == 3);
  CHECK(flight.load(flight.bytes()) == flight.state);
  flight.state.window.push_back(flight.state.window.back());
  const Error error = error_of([&] { static_cast<void>(flight.load(flight.bytes())); });
  CHECK(error.code() == ErrorCode::bad_file);
  CHECK(std::string{error.what()}.find("wider than its plan allows") != std::string::npos);
}

TEST_CASE("saved state: another model, composition or request is refused", "[faults]") {
  const MidFlight flight;
  const Bytes good = flight.bytes();
  const auto refuse = [&](const auto& decoder, const char* id, const Request& request,
                          const std::string& part) {
    const Error error =
        error_of([&] { static_cast<void>(load_state(decoder, good, id, request)); });
    CHECK(error.code() == ErrorCode::contract);
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(text.find("saved state: was saved with another " + part) == 0);
  };
  const auto other = [&](const std::string& part, auto change) {
    Request request = flight.request;
    change(request);
    refuse(flight.decoder, model, request, part);
  };
  refuse(flight.decoder, "table 20", flight.request, "model: \"table 19, prompt 3\", not");
  other("seed", [](Request& r) { r.seed += 1; });
  other("sample number", [](Request& r) { r.sample += 1; });
  other("number of tokens", [](Request& r) { r.tokens += 1; });
  other("temperature, top_k or top_p", [](Request& r) { r.sampling.temperature = 0.5F; });
  other("temperature, top_k or top_p", [](Request& r) { r.sampling.top_k = 3; });
  other("temperature, top_k or top_p", [](Request& r) { r.sampling.top_p = 0.5F; });
  other("guidance", [](Request& r) { r.guidance = {2.5F}; });
  other("guidance", [](Request& r) { r.guidance.clear(); });
  TableHost host{{.vocab = 6, .dim = 2, .seed = 19, .posterior_mean = true}};
  const auto composed = [&](auto... policies) {
    refuse(SpeculativeJacobiDenoiser{host, policies...}, model, flight.request, "composition: ");
  };
  composed(FixedWindow{.tokens = 5}, table_schedule());
  composed(FixedWindow{.tokens = 4}, table_schedule(3));
  composed(FixedWindow{.tokens = 4}, table_schedule(2, LevelDescent::by_deadline));
  composed(FixedWindow{.tokens = 4}, table_schedule(), FreshRedraw{});
  composed(FixedWindow{.tokens = 4}, table_schedule(), GumbelEquality{}, GumbelCoupling{});
  composed(FixedWindow{.tokens = 4}, table_schedule(), RowEndGrammar{.columns = 3});
  TableHost wide{{.vocab = 7, .dim = 2, .seed = 19, .posterior_mean = true}};
  refuse(SpeculativeJacobiDenoiser{wide, FixedWindow{.tokens = 4}, table_schedule()}, model,
         flight.request, "vocabulary size");
  TableHost deep{{.vocab = 6, .dim = 3, .seed = 19, .posterior_mean = true}};
  refuse(SpeculativeJacobiDenoiser{deep, FixedWindow{.tokens = 4}, table_schedule()}, model,
         flight.request, "embedding width");
  // The same composition, its defaults spelled out.
  const SpeculativeJacobiDenoiser same{host, table_schedule(), MaximalCoupling{},
                                       FixedWindow{.tokens = 4}, NoGrammar{}};
  CHECK(load_state(same, good, model, flight.request) == flight.state);
  Bytes newer = good;
  newer[8] = std::byte{3};
  const std::string text = error_of([&] { static_cast<void>(flight.load(newer)); }).what();
  CHECK(text.find("version: is 3, this program reads version 2") != std::string::npos);
}

TEST_CASE("saved state: the layout is the documented one", "[faults]") {
  TableHost host{{.vocab = 6, .seed = 19}};
  PlainAr decoder{host};
  const Request request{.tokens = 4, .seed = 6, .sample = 2};
  DecoderState state = decoder.start(0, request);
  decoder.step({&state, 1});
  const Bytes bytes = save_state(decoder, state, "ab");
  const std::string policies = detail::policies_text(decoder.policies());
  CHECK(policies == "sjd::SpeculativeAcceptance{}; sjd::NoGrammar{}; sjd::PhiloxRandom{}");
  CHECK(detail::policy_text(table_schedule()) == "sjd::KarrasSchedule{2, 4, 0.5, 2, 0, 2}");
  CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), 8) == "SJDSTATE");
  CHECK(number_at(bytes, 8, 4) == 2);
  CHECK(number_at(bytes, 12, 4) == 0);
  CHECK(number_at(bytes, 16, 8) == bytes.size() - 32);
  CHECK(number_at(bytes, 24, 8) == detail::fnv64(std::span{bytes}.subspan(32)));
  CHECK(number_at(bytes, 32, 8) == 2);  // length of the model id
  CHECK(number_at(bytes, 42, 8) == 6);  // vocabulary
  CHECK(number_at(bytes, 50, 8) == 0);  // embedding width
  CHECK(number_at(bytes, 58, 8) == policies.size());
  const std::size_t at = 66 + policies.size();
  CHECK(number_at(bytes, at, 8) == 6);       // seed
  CHECK(number_at(bytes, at + 8, 8) == 2);   // sample
  CHECK(number_at(bytes, at + 16, 8) == 4);  // tokens of the picture
  CHECK(number_at(bytes, at + 24, 4) == 0x3F800000U);
  CHECK(number_at(bytes, at + 28, 8) == 0);
  CHECK(number_at(bytes, at + 36, 4) == 0x3F800000U);
  CHECK(number_at(bytes, at + 40, 8) == 0);  // guidance scales
  CHECK(number_at(bytes, at + 48, 8) == 1);  // iteration
  CHECK(number_at(bytes, at + 56, 8) == 2);  // tokens
  CHECK(number_at(bytes, at + 72, 8) == 0);  // slots
  // Five counts, five lists of counts, of which only passes by rows has an entry.
  CHECK(bytes.size() == at + 80 + 5 * 8 + 5 * 8 + 8);
  const Bytes abc{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  CHECK(detail::fnv64(abc) == 0xE71FA2190541574BU);
}

}  // namespace sjd::test
