/*
 * CARP between equal hosts on one network, with our rule for ties or (-DBSD) that of the BSDs: who is master once the faults have
 * ended? README.md says what is left out. check.sh runs it.
 *
 *	-DN=2, -DN=3	hosts
 *	-DBSD		both of two equal masters yield
 *	-DSAME		all hosts send from the same address (unnumbered carpdevs)
 *	-DPREEMPT	the hosts are not equal: the higher number is faster, and net.inet.carp.preempt is 1
 */
#ifndef N
#define N 2
#endif
#define HOSTS 3         /* room for; those above N stay down */
#define INTERVAL 2      /* in ticks of half an interval, so that hosts may be out of step */
#define DOWN (3 * INTERVAL)             /* master-down time */
#define TIES 8          /* tied sealed adverts in a row that a higher address bears (choice 3) */
#define NEVER 255
#ifndef BOUND
#define BOUND (DOWN + INTERVAL)         /* ticks from the last fault to the one master */
#endif

#ifdef SAME
#define address(h) 0
#else
#define address(h) (h)  /* the higher number, the higher address */
#endif
#ifdef PREEMPT
#define speed(h) (h)
#define ONE (masters == 1 && state[N - 1] == master)
#else
#define speed(h) 0
#define ONE (masters == 1)
#endif

mtype = { init_, backup, master };
mtype state[HOSTS] = init_;
byte timer[HOSTS] = NEVER;
byte rival[HOSTS], ties[HOSTS]; /* whose tied adverts a master has counted, and how many */
byte air[HOSTS];        /* bit r of air[s]: an advert from s is on its way to r */
bool bowout[HOSTS];     /* it is a bow-out */
byte masters;
byte since;             /* ticks since the last fault, at most BOUND */
bool whole;             /* no more faults */

#define flies(s, r) (air[s] & (1 << (r)))
#define quiet (!air[0] && !air[1] && !air[2] && timer[0] && timer[1] && timer[2])

inline enter(h, s, t) {
	masters = masters + (s == master) - (state[h] == master);
	state[h] = s; timer[h] = t; ties[h] = 0; rival[h] = 0
}

inline advertise(h, last) {
	bowout[h] = last;
	air[h] = ((1 << N) - 1) & ~(1 << (h))
}

inline become_master(h) { enter(h, master, INTERVAL); advertise(h, false) }

/* decide.go: tie.yields */
inline tied(s, r) {
	if
	:: rival[r] != s + 1 -> rival[r] = s + 1; ties[r] = 1
	:: else -> ties[r]++
	fi;
	if
#ifdef BSD
	:: true -> enter(r, backup, DOWN)
#else
	:: address(s) >= address(r) || ties[r] >= TIES -> enter(r, backup, DOWN)
	:: else
#endif
	fi
}

/* decide.go: decideMaster, decideBackup, without demotion */
inline hear(s, r) {
	air[s] = air[s] & ~(1 << (r));
	if
	:: state[r] == master && !bowout[s] && speed(s) == speed(r) -> tied(s, r)
	:: state[r] == master && !bowout[s] && speed(s) > speed(r) -> enter(r, backup, DOWN)
	:: state[r] == master && (bowout[s] || speed(s) < speed(r)) -> ties[r] = 0; rival[r] = 0
	:: state[r] == backup && (bowout[s] || speed(s) < speed(r)) -> become_master(r)
	:: state[r] == backup && !bowout[s] && speed(s) >= speed(r) -> timer[r] = DOWN
	:: state[r] == init_
	fi
}

proctype host(byte h) {
	do /* what is due within a tick happens in any order: an advert may cross another, or a timer that runs out */
	:: d_step { timer[h] == 0 && state[h] == backup -> become_master(h) }
	:: d_step { timer[h] == 0 && state[h] == master -> timer[h] = INTERVAL; advertise(h, false) }
	:: d_step { flies(0, h) -> hear(0, h) }
	:: d_step { flies(1, h) -> hear(1, h) }
	:: d_step { flies(2, h) -> hear(2, h) }
	/* faults: loss of any advert, one-way and partition included; a crash, `down`, and the start after it */
	:: d_step { !whole && flies(0, h) -> air[0] = air[0] & ~(1 << h) }
	:: d_step { !whole && flies(1, h) -> air[1] = air[1] & ~(1 << h) }
	:: d_step { !whole && flies(2, h) -> air[2] = air[2] & ~(1 << h) }
	:: d_step { !whole && state[h] != init_ -> enter(h, init_, NEVER) }
	:: d_step { !whole && state[h] == master -> enter(h, init_, NEVER); advertise(h, true) }
	:: d_step { !whole && state[h] == init_ -> enter(h, backup, DOWN) }
	od
}

proctype clock() {
	byte h;
	do
	:: d_step { quiet ->
		h = 0;
		do
		:: h < HOSTS && timer[h] != NEVER -> timer[h]--; h++
		:: h < HOSTS && timer[h] == NEVER -> h++
		:: h == HOSTS -> break
		od;
		h = 0;
#if !defined(BSD) && !defined(SAME)
		assert(since < BOUND || ONE);
#endif
		since = since + (whole && since < BOUND)
	   }
	:: d_step { !whole && state[0] != init_ && state[1] != init_ && (N < 3 || state[2] != init_) -> whole = true }
	od
}

init { atomic {
	run clock(); run host(0); run host(1);
	if
	:: N > 2 -> run host(2)
	:: else
	fi
} }

/* in the end exactly one is master, the fastest if there is one, for ever */
ltl heals { (<> whole) -> (<> [] ONE) }
/* not: nobody again and again, and two masters again and again */
ltl settles { (<> whole) -> (<> [] (masters != 0) || <> [] (masters < 2)) }
