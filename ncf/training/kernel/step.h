// The gradients of one step of GMF, MLP or NeuMF, for one instruction set: step.cpp includes this file once for
// each, with LANES floats in a vector, and VECTORS x ROWS vectors of a product's sums in registers.

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }
static inline void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

// C[r, n] (+)= sum over k of A[r, k] B[k, n], for `rows` rows of A and `vectors` vectors of columns; the element
// A[r, k] stands at a[r * row_stride + k * k_stride], so that A may be a matrix or its transpose.
template <int rows, int vectors>
static inline void tile(int64_t depth, const float *a, int64_t row_stride, int64_t k_stride, const float *b,
                        int64_t b_stride, float *c, int64_t c_stride, bool add) {
    Vector sums[rows][vectors];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sums[r][v] = add ? load(c + r * c_stride + v * LANES) : Vector{};
    for (int64_t k = 0; k < depth; k++) {
        Vector columns[vectors];
        for (int v = 0; v < vectors; v++) columns[v] = load(b + k * b_stride + v * LANES);
        for (int r = 0; r < rows; r++) {
            const float factor = a[r * row_stride + k * k_stride];
            for (int v = 0; v < vectors; v++) sums[r][v] += factor * columns[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) store(c + r * c_stride + v * LANES, sums[r][v]);
}

template <int vectors>
static inline void column_block(int64_t rows, int64_t depth, const float *a, int64_t row_stride, int64_t k_stride,
                                const float *b, int64_t b_stride, float *c, int64_t c_stride, bool add) {
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        tile<ROWS, vectors>(depth, a + r * row_stride, row_stride, k_stride, b, b_stride, c + r * c_stride, c_stride,
                            add);
    for (; r < rows; r++)
        tile<1, vectors>(depth, a + r * row_stride, row_stride, k_stride, b, b_stride, c + r * c_stride, c_stride,
                         add);
}

// C [rows, columns] (+)= A [rows, depth] B [depth, columns]; columns is a multiple of LANES.
static void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row_stride,
                     int64_t k_stride, const float *b, int64_t b_stride, float *c, int64_t c_stride, bool add) {
    int64_t n = 0;
    for (; n + VECTORS * LANES <= columns; n += VECTORS * LANES)
        column_block<VECTORS>(rows, depth, a, row_stride, k_stride, b + n, b_stride, c + n, c_stride, add);
    for (; n < columns; n += LANES)
        column_block<1>(rows, depth, a, row_stride, k_stride, b + n, b_stride, c + n, c_stride, add);
}

static double gradients(const Step &step) {
    const int64_t fan = step.items_per_positive, layers = step.layers, factors = step.factors;
    const int64_t block = std::max<int64_t>(1, SAMPLES_AT_ONCE / fan);  // positives whose activations stay in the cache
    const int64_t most = block * fan;
    const int64_t last = layers ? step.widths[layers] : 0;
    const float *tower_output = step.output + factors;

    // widths rounded up to whole vectors; the weights in the two layouts that the products read, padded with 0
    int64_t width[MOST_LAYERS + 1], widest = 0;
    std::vector<float> forward[MOST_LAYERS], backward[MOST_LAYERS], weight_sum[MOST_LAYERS], bias_sum[MOST_LAYERS];
    std::vector<float> hidden[MOST_LAYERS + 1], error[MOST_LAYERS + 1];
    for (int64_t l = 0; l <= layers && layers; l++) {
        width[l] = (step.widths[l] + LANES - 1) / LANES * LANES;
        widest = std::max(widest, width[l]);
        const int64_t rows = l ? most : block;  // widths[0] is that of a user's embedding: one for each positive
        hidden[l].assign(rows * width[l], 0);
        error[l].assign(rows * width[l], 0);
    }
    for (int64_t l = 0; l < layers; l++) {
        const int64_t in = step.widths[l], out = step.widths[l + 1];
        forward[l].assign(width[l] * width[l + 1], 0);   // [in, out]
        backward[l].assign(width[l + 1] * width[l], 0);  // [out, in]
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = 0; i < in; i++)
                forward[l][i * width[l + 1] + o] = backward[l][o * width[l] + i] = step.weight[l][o * in + i];
        weight_sum[l].assign(width[l] * width[l + 1], 0);  // [in, out]
        bias_sum[l].assign(width[l + 1], 0);
    }
    std::vector<float> user_side(layers ? block * width[1] : 0), user_error(layers ? block * width[1] : 0);
    std::vector<float> weighted(block * factors), sums(factors), logits(most), error_of(most), losses(most);
    double loss = 0;

    for (int64_t first = 0; first < step.positives; first += block) {
        const int64_t users = std::min(block, step.positives - first), samples = users * fan;
        const int32_t *user_of = step.users + first, *items = step.items + first * fan;
        std::fill(logits.begin(), logits.begin() + samples, step.output_bias[0]);

        for (int64_t u = 0; u < users && factors; u++) {
            const float *user = step.user_gmf + user_of[u] * factors;
            float *product = &weighted[u * factors];
            for (int64_t f = 0; f < factors; f++) product[f] = user[f] * step.output[f];
            for (int64_t c = 0; c < fan; c++) {
                const float *item = step.item_gmf + items[u * fan + c] * factors;
                float sum = 0;
                for (int64_t f = 0; f < factors; f++) sum += product[f] * item[f];
                logits[u * fan + c] += sum;
            }
        }
        if (layers) {
            for (int64_t u = 0; u < users; u++)
                std::memcpy(&hidden[0][u * width[0]], step.user_mlp + user_of[u] * step.widths[0],
                            step.widths[0] * sizeof(float));
            multiply(users, width[1], step.widths[0], hidden[0].data(), width[0], 1, forward[0].data(), width[1],
                     user_side.data(), width[1], false);
            for (int64_t u = 0; u < users; u++)
                for (int64_t c = 0; c < fan; c++) {
                    const float *item = step.item_first + items[u * fan + c] * step.widths[1];
                    const float *user = &user_side[u * width[1]];
                    float *to = &hidden[1][(u * fan + c) * width[1]];
                    for (int64_t j = 0; j < step.widths[1]; j++) to[j] = std::max(item[j] + user[j], 0.0f);
                }
            for (int64_t l = 1; l < layers; l++) {
                multiply(samples, width[l + 1], step.widths[l], hidden[l].data(), width[l], 1, forward[l].data(),
                         width[l + 1], hidden[l + 1].data(), width[l + 1], false);
                for (int64_t m = 0; m < samples; m++) {
                    float *to = &hidden[l + 1][m * width[l + 1]];
                    for (int64_t j = 0; j < step.widths[l + 1]; j++) to[j] = std::max(to[j] + step.bias[l][j], 0.0f);
                }
            }
            for (int64_t m = 0; m < samples; m++) {
                const float *from = &hidden[layers][m * width[layers]];
                float sum = 0;
                for (int64_t j = 0; j < last; j++) sum += from[j] * tower_output[j];
                logits[m] += sum;
            }
        }

        // binary cross-entropy, and its derivative sigmoid(logit) - label
        for (int64_t m = 0; m < samples; m++) {
            const float logit = logits[m], small = std::exp(-std::fabs(logit));
            const float sigmoid = (logit >= 0 ? 1.0f : small) / (1.0f + small);
            losses[m] = std::max(logit, 0.0f) + std::log(1.0f + small);
            error_of[m] = sigmoid * step.scale;
        }
        for (int64_t m = 0; m < samples; m += fan) {  // the positive stands first
            losses[m] -= logits[m];
            error_of[m] -= step.scale;
        }
        for (int64_t m = 0; m < samples; m++) {
            loss += losses[m];
            step.d_output_bias[0] += error_of[m];
        }

        for (int64_t u = 0; u < users && factors; u++) {
            const float *user = step.user_gmf + user_of[u] * factors, *product = &weighted[u * factors];
            float *d_user = step.d_user_gmf + user_of[u] * factors;
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (int64_t c = 0; c < fan; c++) {
                const float own = error_of[u * fan + c];
                const float *item = step.item_gmf + items[u * fan + c] * factors;
                float *d_item = step.d_item_gmf + items[u * fan + c] * factors, *sum = sums.data();
#pragma GCC ivdep
                for (int64_t f = 0; f < factors; f++) {
                    sum[f] += own * item[f];
                    d_item[f] += own * product[f];
                }
            }
#pragma GCC ivdep
            for (int64_t f = 0; f < factors; f++) {
                d_user[f] += sums[f] * step.output[f];
                step.d_output[f] += sums[f] * user[f];
            }
        }
        if (!layers) continue;

        for (int64_t m = 0; m < samples; m++) {
            const float *from = &hidden[layers][m * width[layers]];
            float *to = &error[layers][m * width[layers]], own = error_of[m], *d_output = step.d_output + factors;
#pragma GCC ivdep
            for (int64_t j = 0; j < last; j++) {
                d_output[j] += own * from[j];
                to[j] = from[j] > 0 ? own * tower_output[j] : 0.0f;
            }
        }
        for (int64_t l = layers - 1; l >= 1; l--) {
            float *sum = bias_sum[l].data();
            for (int64_t m = 0; m < samples; m++) {
                const float *from = &error[l + 1][m * width[l + 1]];
                for (int64_t j = 0; j < width[l + 1]; j++) sum[j] += from[j];
            }
            multiply(step.widths[l], width[l + 1], samples, hidden[l].data(), 1, width[l], error[l + 1].data(),
                     width[l + 1], weight_sum[l].data(), width[l + 1], true);
            multiply(samples, width[l], step.widths[l + 1], error[l + 1].data(), width[l + 1], 1, backward[l].data(),
                     width[l], error[l].data(), width[l], false);
            const float *active = hidden[l].data();
            float *to = error[l].data();
            for (int64_t j = 0; j < samples * width[l]; j++) to[j] = active[j] > 0 ? to[j] : 0.0f;
        }
        for (int64_t u = 0; u < users; u++) {
            float *sum = &user_error[u * width[1]];
            std::fill(sum, sum + width[1], 0.0f);
            for (int64_t c = 0; c < fan; c++) {
                const float *from = &error[1][(u * fan + c) * width[1]];
                float *d_item = step.d_item_first + items[u * fan + c] * step.widths[1];
#pragma GCC ivdep
                for (int64_t j = 0; j < step.widths[1]; j++) {
                    sum[j] += from[j];
                    d_item[j] += from[j];
                }
            }
        }
        multiply(step.widths[0], width[1], users, hidden[0].data(), 1, width[0], user_error.data(), width[1],
                 weight_sum[0].data(), width[1], true);
        multiply(users, width[0], step.widths[1], user_error.data(), width[1], 1, backward[0].data(), width[0],
                 error[0].data(), width[0], false);
        for (int64_t u = 0; u < users; u++) {
            float *to = step.d_user_mlp + user_of[u] * step.widths[0];
            const float *from = &error[0][u * width[0]];
            for (int64_t j = 0; j < step.widths[0]; j++) to[j] += from[j];
        }
    }

    for (int64_t l = 0; l < layers; l++) {
        const int64_t in = step.widths[l], out = step.widths[l + 1];
        for (int64_t o = 0; o < out; o++) {
            for (int64_t i = 0; i < in; i++) step.d_weight[l][o * in + i] += weight_sum[l][i * width[l + 1] + o];
            if (l) step.d_bias[l][o] += bias_sum[l][o];
        }
    }
    return loss;
}
