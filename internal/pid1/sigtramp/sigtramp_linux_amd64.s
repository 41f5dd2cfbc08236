#include "textflag.h"

// sigtramp is the signal handler; see doc.go. The kernel calls it as C: DI is the
// signal, SI the siginfo_t, DX the context. It runs on the thread's signal stack, has no
// g to speak of, and uses no register that C code must preserve.
TEXT ·sigtramp(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL	8(SI), AX // si_code
	CMPL	AX, $-6   // SI_TKILL: tgkill(2)
	JNE	faults
	MOVL	16(SI), CX // si_pid
	CMPL	CX, ·sigself(SB)
	JEQ	runtime

faults:
	// A bit test of the signal against those that a fault raises.
	MOVQ	$1, R8
	MOVL	DI, CX
	SHLQ	CX, R8
	TESTQ	R8, ·sigfaults(SB)
	JZ	record
	CMPL	AX, $0
	JGT	runtime // the kernel's own: a fault in this program

record:
	SUBQ	$16, SP
	MOVL	DI, 0(SP)
	MOVL	AX, 4(SP)
	MOVL	16(SI), CX
	MOVL	CX, 8(SP)
	MOVL	20(SI), CX // si_uid
	MOVL	CX, 12(SP)
	MOVL	·sigpipe(SB), DI
	MOVQ	SP, SI
	MOVL	$16, DX
	MOVL	$1, AX // write(2)
	SYSCALL
	ADDQ	$16, SP
	RET

runtime:
	MOVQ	·sigruntime(SB), AX
	JMP	AX

// func sigtrampAddr() uintptr
TEXT ·sigtrampAddr(SB), NOSPLIT, $0-8
	MOVQ	$·sigtramp(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
