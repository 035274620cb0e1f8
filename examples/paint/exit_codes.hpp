// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <stdexcept>

namespace sjd::paint {

/// What the programs tell the shell; the numbers of sysexits.h where it has one. An interrupted
/// program tells 128 + the signal, 130 after SIGINT, and leaves nothing half-written.
enum ExitCode : int {
  exit_ok = 0,
  exit_usage = 64,     ///< an option outside its range
  exit_data = 65,      ///< a file of the model directory is bad
  exit_internal = 70,  ///< a defect of the program
  exit_io = 74,        ///< the system refused to read or write
};

/// A command line that cannot be obeyed; what() is the one line that says why.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Thrown between two iterations after a signal to end, so that every destructor tidies up.
class Interrupted : public std::exception {
 public:
  explicit Interrupted(int signal) : signal_{signal} {}

  [[nodiscard]] const char* what() const noexcept override { return "interrupted"; }
  /// What a shell reports of a program that the signal ended.
  [[nodiscard]] int exit_code() const noexcept { return 128 + signal_; }

 private:
  int signal_;
};

/// SIGINT, SIGTERM and SIGHUP are noted from here on; a second one ends the program at once.
/// A file size limit (SIGXFSZ) is an error of the write from here on.
void watch_interrupts();

/// Throws Interrupted if one of them has arrived.
void check_interrupt();

/// Runs a program and turns what it throws into one line on standard error and an exit code.
int guarded(const char* program, const std::function<int()>& body);

}  // namespace sjd::paint
