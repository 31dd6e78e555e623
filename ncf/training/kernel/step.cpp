// One training step of GMF, MLP or NeuMF (He et al. 2017, sections 3.2 to 3.4) on the CPU: loss, gradients and
// Adam, in a team of threads, for the best instruction set that the processor has. __init__.py calls it.

#include <cmath>
#include <cstring>

#include "plan.h"

#if defined(__x86_64__)
namespace avx512 {
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#define LANES 16
#define VECTORS 4
#define ROWS 6
#include "multiply.h"
#include "gradients.h"
#include "adam.h"
#undef LANES
#undef VECTORS
#undef ROWS
#pragma GCC pop_options
}  // namespace avx512

namespace avx2 {
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
#define VECTORS 2
#define ROWS 6
#include "multiply.h"
#include "gradients.h"
#include "adam.h"
#undef LANES
#undef VECTORS
#undef ROWS
#pragma GCC pop_options
}  // namespace avx2
#endif

namespace portable {
#define LANES 4
#define VECTORS 4
#define ROWS 4
#include "multiply.h"
#include "gradients.h"
#include "adam.h"
#undef LANES
#undef VECTORS
#undef ROWS
}  // namespace portable

struct Routines {
    int64_t lanes;
    double (*gradients)(const Step &, Plan &);
    void (*catch_up)(const Step &, Plan &), (*update)(const Step &, Plan &), (*settle)(const Step &, Plan &);
};

static Routines best() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return {16, avx512::gradients, avx512::catch_up_met, avx512::update_all, avx512::settle};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return {8, avx2::gradients, avx2::catch_up_met, avx2::update_all, avx2::settle};
#endif
    return {4, portable::gradients, portable::catch_up_met, portable::update_all, portable::settle};
}

static const Routines routines = best();

extern "C" {

Team *ncf_team(int32_t threads) { return new Team(threads); }
void ncf_disband(Team *team) { delete team; }

Plan *ncf_plan(Team *team) { return new Plan(*team); }
void ncf_forget(Plan *plan) { delete plan; }

// Order the step's samples by item; list the items that it meets in `distinct`, unless that is null. Returns how many
// are listed, or what is wrong with the samples.
int64_t ncf_sort(Plan *plan, const Step *step, int32_t *distinct) { return plan->sort_items(*step, distinct); }

// Set the gradients of the step's samples, which ncf_sort has ordered; returns their summed loss.
double ncf_gradients(Plan *plan, const Step *step) {
    plan->number_rows(*step);
    plan->prepare(*step, routines.lanes);
    if (step->user_gmf.met || step->user_mlp.met || step->item_gmf.met || step->item_mlp.met)
        routines.catch_up(*step, *plan);
    return routines.gradients(*step, *plan);
}

// Let Adam follow the gradients, which stand where ncf_gradients set them.
void ncf_update(Plan *plan, const Step *step) { routines.update(*step, *plan); }

void ncf_settle(Plan *plan, const Step *step) { routines.settle(*step, *plan); }
}
