#include "oip/admit.h"

bool oip_admit(struct oip_admission *admission, uint64_t turn, int64_t now_ns, int64_t max_wait_ns)
{
	const int64_t overloaded_ns = OIP_OVERLOADED_MS * INT64_C(1000000);
	if (turn != admission->turn || !admission->began_ns) {
		if (admission->last_ns - admission->began_ns <= max_wait_ns)
			admission->calm_ns = now_ns;
		admission->turn = turn;
		admission->began_ns = now_ns;
	}
	admission->last_ns = now_ns;
	bool overloaded = now_ns - admission->calm_ns > overloaded_ns;
	return !max_wait_ns || now_ns - admission->began_ns <= (overloaded ? max_wait_ns : OIP_BURSTS * max_wait_ns);
}
