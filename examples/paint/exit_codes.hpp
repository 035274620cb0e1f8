// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <stdexcept>

namespace sjd::paint {

/// What the programs tell the shell; the numbers of sysexits.h where it has one.
enum ExitCode : int {
  exit_ok = 0,
  exit_usage = 64,         ///< an option outside its range
  exit_data = 65,          ///< a file of the model directory is bad
  exit_internal = 70,      ///< a defect of the program
  exit_io = 74,            ///< the system refused to read or write
  exit_interrupted = 130,  ///< SIGINT; nothing half-written is left behind
};

/// A command line that cannot be obeyed; what() is the one line that says why.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Thrown between two iterations after SIGINT, so that every destructor tidies up.
class Interrupted : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "interrupted"; }
};

/// SIGINT sets a flag from here on; a second one ends the program at once.
void watch_interrupts();

/// Throws Interrupted if SIGINT has arrived.
void check_interrupt();

/// Runs a program and turns what it throws into one line on standard error and an exit code.
int guarded(const char* program, const std::function<int()>& body);

}  // namespace sjd::paint
