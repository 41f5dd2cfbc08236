#include "textflag.h"

// sigtramp is the signal handler; see doc.go. The kernel calls it as C: R0 is the
// signal, R1 the siginfo_t, R2 the context. It runs on the thread's signal stack, has no
// g to speak of, and uses no register that C code must preserve.
TEXT ·sigtramp(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	8(R1), R3 // si_code
	CMPW	$-6, R3   // SI_TKILL: tgkill(2)
	BNE	faults
	MOVW	16(R1), R4 // si_pid
	MOVW	·sigself(SB), R5
	CMPW	R5, R4
	BEQ	runtime

faults:
	// A bit test of the signal against those that a fault raises.
	MOVD	$1, R4
	LSL	R0, R4, R4
	MOVD	·sigfaults(SB), R5
	TST	R5, R4
	BEQ	record
	CMPW	$0, R3
	BGT	runtime // the kernel's own: a fault in this program

record:
	SUB	$16, RSP
	MOVW	R0, 0(RSP)
	MOVW	R3, 4(RSP)
	MOVW	16(R1), R4
	MOVW	R4, 8(RSP)
	MOVW	20(R1), R4 // si_uid
	MOVW	R4, 12(RSP)
	MOVW	·sigpipe(SB), R0
	MOVD	RSP, R1
	MOVD	$16, R2
	MOVD	$64, R8 // write(2)
	SVC
	ADD	$16, RSP
	RET

runtime:
	MOVD	·sigruntime(SB), R3
	B	(R3)

// func sigtrampAddr() uintptr
TEXT ·sigtrampAddr(SB), NOSPLIT, $0-8
	MOVD	$·sigtramp(SB), R0
	MOVD	R0, ret+0(FP)
	RET
