#pragma once
// Text as a shell takes it for one word.

#include <string>

namespace berth {

// As it is where no character of it means anything to a shell, otherwise in single quotes.
std::string shell_word(const std::string& text);

}  // namespace berth
