#include "agent/runtime/pause_program.h"

#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "agent/runtime/memory_file.h"

// The whole program: a system call that returns only for a signal with a handler, again and again.
#if defined(__x86_64__)
asm(R"(
  .pushsection .rodata
  berth_pause_begin:
  1: mov $34, %eax
     syscall
     jmp 1b
  berth_pause_end:
  .popsection
)");
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
asm(R"(
  .pushsection .rodata
  .balign 4
  berth_pause_begin:
  1: mov x0, #0
     mov x1, #0
     mov x2, #0
     mov x3, #0
     mov x8, #73
     svc #0
     b 1b
  berth_pause_end:
  .popsection
)");
constexpr unsigned kMachine = EM_AARCH64;
#else
asm(".pushsection .rodata\nberth_pause_begin:\nberth_pause_end:\n.popsection\n");
constexpr unsigned kMachine = EM_NONE;
#endif
extern "C" const char berth_pause_begin[], berth_pause_end[];

namespace berth::agent {
namespace {

constexpr Elf64_Addr kAddress = 0x400000;

// One segment: the headers and the code behind them.
std::string executable(std::string_view code) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = kMachine;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  header.e_entry = kAddress + sizeof header + sizeof(Elf64_Phdr);
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_vaddr = segment.p_paddr = kAddress;
  segment.p_filesz = segment.p_memsz = sizeof header + sizeof segment + code.size();
  segment.p_align = 0x1000;
  std::string out(reinterpret_cast<const char*>(&header), sizeof header);
  out.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  return out.append(code);
}

}  // namespace

Result<Fd> pause_program() {
  const std::string_view code(berth_pause_begin, static_cast<std::size_t>(berth_pause_end - berth_pause_begin));
  if (code.empty()) return error(Code::kUnimplemented, "process namespaces cannot be shared on this kind of processor");
  BERTH_ASSIGN(Fd file, make_memory_file("pause"));
  const std::string program = executable(code);
  if (::write(file.get(), program.data(), program.size()) != static_cast<ssize_t>(program.size()))
    return errno_error("writing a memory file");
  BERTH_TRY(seal_memory_file(file));
  return file;
}

}  // namespace berth::agent
