// One training step of GMF, MLP or NeuMF (He et al. 2017, sections 3.2 to 3.4) on the CPU: loss, gradients and
// Adam, in a thread pool, for the widest instruction set of the processor. __init__.py calls it.

#include <cmath>
#include <cstring>

#include "structures.h"
#include "workspace.h"

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
    double (*gradients)(const Step &, Workspace &);
    void (*catch_up)(const Step &, Workspace &);
    void (*update)(const Step &, Workspace &);
    void (*settle)(const Step &, Workspace &);
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

ThreadPool *ncf_new_thread_pool(int32_t threads) { return new ThreadPool(threads); }
void ncf_delete_thread_pool(ThreadPool *pool) { delete pool; }

Workspace *ncf_new_workspace(ThreadPool *pool) { return new Workspace(*pool); }
void ncf_delete_workspace(Workspace *work) { delete work; }

// Order the step's samples by item. `distinct`, unless it is null, gets the step's items. Returns their number, or
// OUT_OF_RANGE or NOT_ASCENDING.
int64_t ncf_sort(Workspace *work, const Step *step, int32_t *distinct) { return work->sort_items(*step, distinct); }

// Set the gradients of the step's samples, ordered by ncf_sort. Returns the summed loss.
double ncf_gradients(Workspace *work, const Step *step) {
    work->number_rows(*step);
    work->prepare(*step, routines.lanes);
    if (step->user_gmf.last_step || step->user_mlp.last_step || step->item_gmf.last_step || step->item_mlp.last_step)
        routines.catch_up(*step, *work);
    return routines.gradients(*step, *work);
}

// One step of Adam by the gradients of ncf_gradients.
void ncf_update(Workspace *work, const Step *step) { routines.update(*step, *work); }

// Bring all rows of lazy tables to the end of this step.
void ncf_settle(Workspace *work, const Step *step) { routines.settle(*step, *work); }
}
