// Loss and gradients of one step of GMF, MLP or NeuMF (He et al. 2017, sections 3.2 to 3.4) on the CPU, worked out
// in blocks of samples whose activations stay in a core's cache. ncf/training/kernel/__init__.py calls it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

constexpr int64_t MOST_LAYERS = 16;
constexpr int64_t SAMPLES_AT_ONCE = 256;

// Mirrored, field by field, in __init__.py. All arrays are float32 and contiguous; gradients are added to.
struct Step {
    int64_t positives, items_per_positive;  // the positive item first, its negatives after it
    const int32_t *users;                   // [positives]
    const int32_t *items;                   // [positives, items_per_positive]
    int64_t factors;                        // 0: no GMF part
    const float *user_gmf, *item_gmf;       // [users, factors], [items, factors]
    float *d_user_gmf, *d_item_gmf;
    int64_t layers;                    // 0: no tower
    int64_t widths[MOST_LAYERS + 1];   // of a user's embedding, then of each layer
    const float *user_mlp;             // [users, widths[0]]
    const float *item_first;           // [items, widths[1]]: the items' part of the first layer, with its bias
    float *d_user_mlp, *d_item_first;
    const float *weight[MOST_LAYERS];  // [widths[l + 1], widths[l]]; of the first layer the users' part
    float *d_weight[MOST_LAYERS];
    const float *bias[MOST_LAYERS];    // [widths[l + 1]]; none of the first layer
    float *d_bias[MOST_LAYERS];
    const float *output, *output_bias;  // [factors + widths[layers]], [1]
    float *d_output, *d_output_bias;
    float scale;                       // of the gradients: 1 / samples of the whole step
};

#if defined(__x86_64__)
namespace avx512 {
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#define LANES 16
#define VECTORS 4
#define ROWS 6
#include "step.h"
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
#include "step.h"
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
#include "step.h"
#undef LANES
#undef VECTORS
#undef ROWS
}  // namespace portable

// Add the gradients of a step's samples; returns their summed loss.
extern "C" double ncf_step(const Step *step) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return avx512::gradients(*step);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::gradients(*step);
#endif
    return portable::gradients(*step);
}
