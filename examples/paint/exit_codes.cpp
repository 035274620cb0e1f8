// SPDX-License-Identifier: Apache-2.0
#include "exit_codes.hpp"

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <sjd/core/error.hpp>

namespace sjd::paint {
namespace {

volatile std::sig_atomic_t signal_seen = 0;

extern "C" void note_signal(int signal) {
  signal_seen = signal;
}

int code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return exit_usage;
    case ErrorCode::invalid_logits:
    case ErrorCode::empty_support:
    case ErrorCode::contract:
    case ErrorCode::bad_file:
      return exit_data;
    case ErrorCode::io:
    case ErrorCode::out_of_memory:
      return exit_io;
  }
  return exit_internal;
}

int complain(const char* program, const char* text, int code) {
  fmt::print(stderr, "{}: {}\n", program, text);
  return code;
}

}  // namespace

void watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  // nohup lets a program outlive its terminal by having this one ignored.
  struct sigaction inherited {};
  sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  // A file that may not grow is then an error of write(), which names the file and tidies up.
  std::signal(SIGXFSZ, SIG_IGN);
}

void check_interrupt() {
  if (signal_seen != 0) throw Interrupted{signal_seen};
}

int guarded(const char* program, const std::function<int()>& body) {
  try {
    const int code = body();
    if (std::fflush(stdout) != 0) {
      return complain(program, "cannot write to standard output", exit_io);
    }
    return code;
  } catch (const UsageError& error) {
    return complain(program, error.what(), exit_usage);
  } catch (const Interrupted& error) {
    return complain(program, error.what(), error.exit_code());
  } catch (const Error& error) {
    return complain(program, error.what(), code_of(error.code()));
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(program, error.what(), exit_io);
  } catch (const std::exception& error) {
    return complain(program, error.what(), exit_internal);
  }
}

}  // namespace sjd::paint
