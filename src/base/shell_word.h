#pragma once
// Quotes a text so that a shell reads it as one word.

#include <string>

namespace berth {

// Unchanged where no character has a meaning to a shell, otherwise in single quotes.
std::string shell_word(const std::string& text);

}  // namespace berth
