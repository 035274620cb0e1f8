// SPDX-License-Identifier: Apache-2.0
// The host fails at its k-th call, for every k: what is thrown is what was promised, every state
// stays as it was, and resuming ends with the tokens of an undisturbed run.
#include <initializer_list>
#include <iostream>
#include <map>

#include "faults/fault_compositions.hpp"
#include "support/fault_line.hpp"

namespace sjd::test {
namespace {

std::int64_t instances = 0;
std::map<Fault, std::int64_t> injected;  // of the test that runs

std::int64_t count_of(std::initializer_list<Fault> faults) {
  std::int64_t sum = 0;
  for (const Fault fault : faults) sum += injected[fault];
  return sum;
}

/// The error behind `e`; fails the test if it is none of ours.
Error error_of(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& other) {
    FAIL("not an sjd::Error: " << other.what());
  }
  return {ErrorCode::io, ""};
}

template <class Exception>
bool is_a(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const Exception&) {
    return true;
  } catch (...) {
    return false;
  }
}

bool names_a_row(Fault fault) {
  return fault == Fault::nan || fault == Fault::plus_infinity || fault == Fault::minus_infinity ||
         fault == Fault::row_unwritten || fault == Fault::row_cut ||
         fault == Fault::hidden_unwritten;
}

ErrorCode code_of(Fault fault) {
  switch (fault) {
    case Fault::nan:
    case Fault::plus_infinity:
    case Fault::hidden_nan:
      return ErrorCode::invalid_logits;
    case Fault::minus_infinity:
      return ErrorCode::empty_support;
    case Fault::typed_error:
      return ErrorCode::io;
    default:
      return ErrorCode::contract;
  }
}

/// What the fault at this call must have thrown.
void check_thrown(const std::exception_ptr& e, const FaultyHost& host) {
  if (host.fault == Fault::throws_before || host.fault == Fault::throws_after) {
    CHECK(is_a<std::runtime_error>(e));
    CHECK_FALSE(is_a<Error>(e));
    return;
  }
  if (host.fault == Fault::bad_alloc) {
    CHECK(is_a<std::bad_alloc>(e));
    return;
  }
  const Error error = error_of(e);
  CHECK(error.code() == code_of(host.fault));
  if (!names_a_row(host.fault)) return;
  CHECK(error.sequence() == host.hit_sequence);
  CHECK(error.position() == host.hit_position);
  const std::string text = error.what();
  CHECK(text.find("sequence " + std::to_string(host.hit_sequence)) != std::string::npos);
  if (host.fault == Fault::minus_infinity) {
    CHECK(text.find("emptied by the model's logits") != std::string::npos);
  }
}

/// Repeats the failed call.
template <class Decoder>
std::vector<DecoderState> retry(Decoder& decoder, FaultyHost& host, std::int64_t& caught) {
  return decode_all(decoder, fault_requests(),
                    [&](const std::exception_ptr& e, std::vector<DecoderState>&) {
                      check_thrown(e, host);
                      host.fault_at = -1;
                      caught += 1;
                    });
}

/// Sets the sequence that the error names aside, finishes the others, then finishes it.
template <class Decoder>
std::vector<DecoderState> set_aside(Decoder& decoder, FaultyHost& host, std::int64_t& caught) {
  return decode_all(decoder, fault_requests(),
                    [&](const std::exception_ptr& e, std::vector<DecoderState>& states) {
                      check_thrown(e, host);
                      host.fault_at = -1;
                      caught += 1;
                      std::vector<DecoderState> others;
                      for (const DecoderState& s : states) {
                        if (s.sequence != host.hit_sequence) others.push_back(s);
                      }
                      while (!all_finished(others)) decoder.step(others);
                      for (const DecoderState& done : others) {
                        states[static_cast<std::size_t>(done.sequence)] = done;
                      }
                    });
}

struct Reference {
  std::vector<DecoderState> states;
  std::int64_t calls = 0;
};

template <class Make>
Reference undisturbed(bool mean, const Make& make) {
  FaultyHost host{fault_options(mean)};
  Reference reference;
  make(host, [&](auto& decoder) {
    reference.states = decode_all(decoder, fault_requests(), [](const auto&, const auto&) {
      FAIL("an undisturbed run has failed");
    });
  });
  reference.calls = host.calls;
  return reference;
}

/// One decode with one fault; `body(decoder, host, caught)` runs it.
template <class Make, class Body>
void inject(bool mean, const Make& make, Fault fault, std::int64_t k, const Reference& expected,
            Body&& body) {
  CAPTURE(static_cast<int>(fault), k);
  FaultyHost host{fault_options(mean)};
  make(host, [&](auto& decoder) {
    host.reenter = [&] {
      std::vector<DecoderState> mine = expected.states;
      mine.front().total += 1;
      decoder.step(mine);
    };
    host.fault = fault;
    host.fault_at = k;
    std::int64_t caught = 0;
    CHECK(body(decoder, host, caught) == expected.states);
    // A hidden row that nobody reads does no harm.
    CHECK(caught <= 1);
    if (fault != Fault::hidden_nan) CHECK(caught == 1);
    instances += 1;
    injected[fault] += 1;
  });
}

}  // namespace

TEST_CASE("faults: a host that fails at any call, retried", "[faults]") {
  for_each_decoder([](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    const Reference expected = undisturbed(mean, make);
    const auto again = [](auto& decoder, FaultyHost& host, std::int64_t& caught) {
      return retry(decoder, host, caught);
    };
    for (std::int64_t k = 0; k < expected.calls; ++k) {
      for (const Fault fault : model_faults) inject(mean, make, fault, k, expected, again);
    }
  });
  std::cout << "F1 fault at call k, retried: " << instances << " instances\n";
  const std::string resumed = ", retried bit-equal";
  print_fault(1, "one NaN logit", count_of({Fault::nan}), "error with its row" + resumed);
  print_fault(2, "one +Inf logit", count_of({Fault::plus_infinity}),
              "error with its row" + resumed);
  print_fault(3, "a row of -Inf", count_of({Fault::minus_infinity}),
              "error with row and cause" + resumed);
  print_fault(17, "model throws, before or behind its pass",
              count_of({Fault::throws_before, Fault::throws_after, Fault::typed_error}),
              "passed on, no state changed" + resumed);
  print_fault(18, "rows unwritten or cut", count_of({Fault::row_unwritten, Fault::row_cut}),
              "error with its row" + resumed);
  print_fault(19, "a size that changes", count_of({Fault::vocab_changes}), "error" + resumed);
  print_fault(20, "model calls its decoder", count_of({Fault::reenters}), "refused" + resumed);
  print_fault(22, "bad_alloc in the model", count_of({Fault::bad_alloc}), "passed on" + resumed);
}

TEST_CASE("faults: the other sequences of a batch are unharmed", "[faults]") {
  instances = 0;
  for_each_decoder([](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    const Reference expected = undisturbed(mean, make);
    const auto aside = [](auto& decoder, FaultyHost& host, std::int64_t& caught) {
      return set_aside(decoder, host, caught);
    };
    const auto first_pass = static_cast<std::int64_t>(expected.states.size());
    for (std::int64_t k = first_pass; k < expected.calls; ++k) {
      for (const Fault fault : model_faults) {
        if (names_a_row(fault)) inject(mean, make, fault, k, expected, aside);
      }
    }
  });
  std::cout << "F2 named sequence set aside: " << instances << " instances\n";
}

TEST_CASE("faults: hidden rows that are missing, bad or of another width", "[faults]") {
  instances = 0;
  std::int64_t errors = 0;
  for_each_corrected([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    const Reference expected = undisturbed(mean, make);
    const auto again = [&](auto& decoder, FaultyHost& host, std::int64_t& caught) {
      auto states = retry(decoder, host, caught);
      if (host.fault == Fault::hidden_nan) errors += caught;
      return states;
    };
    for (std::int64_t k = 3; k < expected.calls; ++k) {
      for (const Fault fault : hidden_faults) inject(mean, make, fault, k, expected, again);
    }
  });
  CHECK(errors > 0);
  print_fault(18, "hidden rows missing, bad or of another width", instances,
              "error where they are read, retried bit-equal");
  std::cout << "F3 hidden rows: " << instances << " instances\n";
}

TEST_CASE("faults: generate() passes everything on and works again", "[faults]") {
  instances = 0;
  for_each_decoder([](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    const Reference expected = undisturbed(mean, make);
    for (std::int64_t k = 0; k < expected.calls; ++k) {
      FaultyHost host{fault_options(mean)};
      make(host, [&](auto& decoder) {
        host.fault = model_faults[static_cast<std::size_t>(k) % model_faults.size()];
        host.reenter = [&] { static_cast<void>(decoder.generate(fault_requests())); };
        host.fault_at = k;
        CHECK_THROWS(decoder.generate(fault_requests()));
        host.fault_at = -1;
        const auto pictures = decoder.generate(fault_requests());
        for (std::size_t i = 0; i < pictures.size(); ++i) {
          CHECK(pictures[i].tokens == expected.states[i].tokens);
        }
      });
      instances += 1;
    }
  });
  std::cout << "F4 generate() after a fault: " << instances << " instances\n";
}

}  // namespace sjd::test
