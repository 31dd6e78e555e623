// The gradients of one step of GMF, MLP or NeuMF, for one instruction set; step.cpp includes this file once for each.
//
// Two passes over the samples. By user: forward, back to the first layer, and all gradients except those of items.
// By item: the sum over each item's samples, written straight to the item's gradient. No thread has its own table.

static inline float largest(float a, float b) { return a > b ? a : b; }

// LANES rows of a layer's weights: the unit of work of a thread.
struct Block {
    int64_t layer, first, n;  // rows first : first + n of the layer's weights
};

static int64_t blocks(const Step &step, const Workspace &work) {
    int64_t all = 0;
    for (int64_t l = 0; l < step.layers; l++) all += work.width[l + 1] / LANES;
    return all;
}

static Block block_at(const Step &step, const Workspace &work, int64_t block) {
    int64_t l = 0;
    for (; block >= work.width[l + 1] / LANES; l++) block -= work.width[l + 1] / LANES;
    return {l, block * LANES, std::min<int64_t>(LANES, step.widths[l + 1] - block * LANES)};
}

// The weights in the two layouts that the products read, padded with 0.
static void pack(const Step &step, Workspace &work, const Block &block) {
    const int64_t l = block.layer, in = step.widths[l], of_all = l ? in : 2 * in;
    const int64_t in_width = work.width[l], out_width = work.width[l + 1];
    const auto layout = [&](float *forward, float *backward, const float *weight) {
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < LANES; o++)
                forward[i * out_width + block.first + o] =
                    o < block.n ? weight[(block.first + o) * of_all + i] : 0.0f;
        for (int64_t o = block.first; o < block.first + block.n; o++) {
            std::memcpy(backward + o * in_width, weight + o * of_all, in * sizeof(float));
            std::memset(backward + o * in_width + in, 0, (in_width - in) * sizeof(float));
        }
    };
    layout(work.forward[l].data(), work.backward[l].data(), step.weight[l].weight);
    if (l == 0) layout(work.item_forward.data(), work.item_backward.data(), step.weight[0].weight + in);
}

// The embeddings of rows first : first + n, side by side.
static const float *item_embeddings(const Step &step, int64_t first, int64_t n, float *room) {
    const int64_t width = step.widths[0];
    if (step.rows == nullptr) return step.item_mlp.weight + first * width;
    for (int64_t r = 0; r < n; r++)
        std::memcpy(room + r * width, step.item_mlp.weight + step.rows[first + r] * width, width * sizeof(float));
    return room;
}

// The items' part of the first layer, for one chunk of rows.
static void first_layer_of_items(const Step &step, Workspace &work, int64_t chunk, Scratch &own) {
    const int64_t width = work.width[1], out = step.widths[1];
    float *bias = own.bias.data();
    std::memset(bias, 0, width * sizeof(float));
    std::memcpy(bias, step.bias[0].weight, out * sizeof(float));
    for (int64_t first = work.item_cut[chunk]; first < work.item_cut[chunk + 1]; first += ITEMS_AT_ONCE) {
        const int64_t n = std::min(ITEMS_AT_ONCE, work.item_cut[chunk + 1] - first);
        multiply<BIAS>(n, width, step.widths[0], item_embeddings(step, first, n, own.embeddings.data()),
                       step.widths[0], 1, work.item_forward.data(), width, work.item_first.data() + first * width,
                       width, bias);
    }
}

static inline void fetch(const float *row, int64_t width) {
    for (int64_t f = 0; f < width; f += 16) __builtin_prefetch(row + f);  // 64 bytes at a time
}

// Binary cross-entropy and its derivative, sigmoid(logit) - label. Returns the summed loss.
static double errors(const Step &step, int64_t samples, const float *logits, float *losses, float *error) {
    for (int64_t m = 0; m < samples; m++) {
        const float logit = logits[m], small = std::exp(-std::fabs(logit));
        const float sigmoid = (logit >= 0 ? 1.0f : small) / (1.0f + small);
        losses[m] = largest(logit, 0.0f) + std::log(1.0f + small);
        error[m] = sigmoid * step.scale;
    }
    for (int64_t m = 0; m < samples; m += step.fan) {  // the positive comes first
        losses[m] -= logits[m];
        error[m] -= step.scale;
    }
    double loss = 0;
    for (int64_t m = 0; m < samples; m++) loss += losses[m];
    return loss;
}

// Samples of one chunk of users.
static void by_user(const Step &step, Workspace &work, int64_t chunk, Scratch &own) {
    constexpr int64_t AHEAD = 2;  // positives whose rows are prefetched
    const int64_t fan = step.fan, layers = step.layers, factors = step.factors, *width = work.width;
    const int64_t block = std::max<int64_t>(1, SAMPLES_AT_ONCE / fan);
    const int64_t last = layers ? step.widths[layers] : 0, first_width = layers ? width[1] : 0;
    const float *tower_output = step.output.weight + factors, *output = step.output.weight;
    const int32_t *row_of = step.rows ? work.row_of.data() : step.items;
    float *chunk_sums = work.sums.data() + chunk * work.sums_size;
    float *d_output = chunk_sums + work.output_at, d_output_bias = 0;
    std::memset(chunk_sums, 0, work.sums_size * sizeof(float));
    float *hidden[MOST_LAYERS + 1], *error[MOST_LAYERS + 1];
    for (int64_t l = 0; l <= layers && layers; l++) {
        hidden[l] = own.hidden[l].data();
        error[l] = own.error[l].data();
    }
    float *logits = own.logits.data(), *sums = own.sums.data();
    const float pull = step.l2 * step.scale * static_cast<float>(fan);  // of all samples of a positive
    int64_t user_first = work.user_cut[chunk];  // position of the user's first positive, and of its gradients
    double loss = 0;

    for (int64_t first = work.user_cut[chunk]; first < work.user_cut[chunk + 1]; first += block) {
        const int64_t users = std::min(block, work.user_cut[chunk + 1] - first), samples = users * fan;
        const int32_t *user_of = step.users + first, *items = step.items + first * fan, *rows = row_of + first * fan;
        float *error_of = work.error.data() + first * fan;
        for (int64_t m = 0; m < samples; m++) logits[m] = step.output_bias.weight[0];

        const int64_t left = work.user_cut[chunk + 1] - first;  // in this block and those after it
        for (int64_t u = 0; u < users && factors; u++) {
            if (u + AHEAD < left) {
                fetch(step.user_gmf.weight + user_of[u + AHEAD] * factors, factors);
                for (int64_t c = 0; c < fan; c++)
                    fetch(step.item_gmf.weight + items[(u + AHEAD) * fan + c] * factors, factors);
            }
            const float *user = step.user_gmf.weight + user_of[u] * factors;
            for (int64_t f = 0; f < factors; f++) sums[f] = user[f] * output[f];
            for (int64_t c = 0; c < fan; c++) {
                const float *item = step.item_gmf.weight + items[u * fan + c] * factors;
                float sum = 0;
                for (int64_t f = 0; f < factors; f++) sum += sums[f] * item[f];
                logits[u * fan + c] += sum;
            }
        }
        if (layers) {
            for (int64_t u = 0; u < users; u++)
                std::memcpy(hidden[0] + u * width[0], step.user_mlp.weight + user_of[u] * step.widths[0],
                            step.widths[0] * sizeof(float));
            multiply<PLAIN>(users, width[1], step.widths[0], hidden[0], width[0], 1, work.forward[0].data(), width[1],
                            own.user_side.data(), width[1], hidden[0]);
            for (int64_t u = 0; u < users; u++)
                for (int64_t c = 0; c < fan; c++) {
                    const float *item = work.item_first.data() + rows[u * fan + c] * width[1];
                    const float *user = own.user_side.data() + u * width[1];
                    float *to = hidden[1] + (u * fan + c) * width[1];
                    for (int64_t j = 0; j < width[1]; j++) to[j] = largest(item[j] + user[j], 0.0f);
                }
            for (int64_t l = 1; l < layers; l++) {
                float *bias = own.bias.data();
                std::memset(bias, 0, width[l + 1] * sizeof(float));
                std::memcpy(bias, step.bias[l].weight, step.widths[l + 1] * sizeof(float));
                multiply<RELU>(samples, width[l + 1], step.widths[l], hidden[l], width[l], 1, work.forward[l].data(),
                               width[l + 1], hidden[l + 1], width[l + 1], bias);
            }
            for (int64_t m = 0; m < samples; m++) {
                const float *from = hidden[layers] + m * width[layers];
                float sum = 0;
                for (int64_t j = 0; j < last; j++) sum += from[j] * tower_output[j];
                logits[m] += sum;
            }
        }
        loss += errors(step, samples, logits, own.losses.data(), error_of);
        for (int64_t m = 0; m < samples; m++) d_output_bias += error_of[m];

        if (layers) {
            error[1] = work.first_error.data() + first * fan * first_width;
            for (int64_t m = 0; m < samples; m++) {
                const float *from = hidden[layers] + m * width[layers];
                float *to = error[layers] + m * width[layers], *d_tower_output = d_output + factors;
                const float of_sample = error_of[m];
#pragma GCC ivdep
                for (int64_t j = 0; j < last; j++) {
                    d_tower_output[j] += of_sample * from[j];
                    to[j] = from[j] > 0 ? of_sample * tower_output[j] : 0.0f;
                }
                for (int64_t j = last; j < width[layers]; j++) to[j] = 0;
            }
            for (int64_t l = layers - 1; l >= 1; l--) {
                float *sum = chunk_sums + work.bias_at[l];
                for (int64_t m = 0; m < samples; m++) {
                    const float *from = error[l + 1] + m * width[l + 1];
#pragma GCC ivdep
                    for (int64_t j = 0; j < width[l + 1]; j++) sum[j] += from[j];
                }
                multiply<ADD>(step.widths[l], width[l + 1], samples, hidden[l], 1, width[l], error[l + 1],
                              width[l + 1], chunk_sums + work.weight_at[l], width[l + 1], hidden[l]);
                multiply<MASKED>(samples, width[l], step.widths[l + 1], error[l + 1], width[l + 1], 1,
                                 work.backward[l].data(), width[l], error[l], width[l], hidden[l]);
            }
            float *user_error = own.user_error.data();
            for (int64_t u = 0; u < users; u++) {
                float *sum = user_error + u * width[1];
                std::memcpy(sum, error[1] + u * fan * width[1], width[1] * sizeof(float));
                for (int64_t c = 1; c < fan; c++) {
                    const float *from = error[1] + (u * fan + c) * width[1];
#pragma GCC ivdep
                    for (int64_t j = 0; j < width[1]; j++) sum[j] += from[j];
                }
            }
            multiply<ADD>(step.widths[0], width[1], users, hidden[0], 1, width[0], user_error, width[1],
                          chunk_sums + work.weight_at[0], width[1], hidden[0]);
            multiply<PLAIN>(users, width[0], step.widths[1], user_error, width[1], 1, work.backward[0].data(),
                            width[0], error[0], width[0], hidden[0]);
        }

        for (int64_t u = 0; u < users; u++) {
            const bool is_new = first + u == work.user_cut[chunk] || user_of[u] != user_of[u - 1];
            if (is_new) user_first = first + u;
            if (factors) {
                const float *user = step.user_gmf.weight + user_of[u] * factors;
                float *d_user = step.d_user_gmf + user_first * factors;
                for (int64_t f = 0; f < factors; f++) sums[f] = 0;
                for (int64_t c = 0; c < fan; c++) {
                    const float of_sample = error_of[u * fan + c];
                    const float *item = step.item_gmf.weight + items[u * fan + c] * factors;
#pragma GCC ivdep
                    for (int64_t f = 0; f < factors; f++) sums[f] += of_sample * item[f];
                }
#pragma GCC ivdep
                for (int64_t f = 0; f < factors; f++) {
                    d_user[f] = (is_new ? 0.0f : d_user[f]) + sums[f] * output[f] + pull * user[f];
                    d_output[f] += sums[f] * user[f];
                }
            }
            if (layers) {
                const float *from = error[0] + u * width[0];
                const float *user = hidden[0] + u * width[0];
                float *to = step.d_user_mlp + user_first * step.widths[0];
#pragma GCC ivdep
                for (int64_t j = 0; j < step.widths[0]; j++)
                    to[j] = (is_new ? 0.0f : to[j]) + from[j] + pull * user[j];
            }
        }
    }
    chunk_sums[work.output_bias_at] = d_output_bias;
    work.loss[chunk] = loss;
}

// Gradients of one chunk of items, from the errors that by_user has set.
static void by_item(const Step &step, Workspace &work, int64_t chunk, Scratch &own) {
    const int64_t factors = step.factors, half = step.widths[0];
    const int64_t in_width = step.layers ? work.width[0] : 0, width = step.layers ? work.width[1] : 0;
    const int32_t *start = work.start.data(), *order = work.order.data(), *users = step.users;
    const float *error = work.error.data();
    const uint32_t fan = static_cast<uint32_t>(step.fan);
    float *item_sums = work.item_sums.data() + chunk * work.item_sums_size;
    if (step.layers) std::memset(item_sums, 0, work.item_sums_size * sizeof(float));
    for (int64_t first = work.item_cut[chunk]; first < work.item_cut[chunk + 1]; first += ITEMS_AT_ONCE) {
        const int64_t n = std::min(ITEMS_AT_ONCE, work.item_cut[chunk + 1] - first);
        for (int64_t r = first; r < first + n && factors; r++) {
            float *d_item = step.d_item_gmf + r * factors;
            const float *item = step.item_gmf.weight + (step.rows ? step.rows[r] : r) * factors;
            const float pull = step.l2 * step.scale * static_cast<float>(start[r + 1] - start[r]);
            sum_rows(order + start[r], start[r + 1] - start[r], step.user_gmf.weight, factors, factors, d_item,
                     [&](int32_t sample) -> int64_t { return users[static_cast<uint32_t>(sample) / fan]; },
                     [&](int32_t sample) { return error[sample]; });
#pragma GCC ivdep
            for (int64_t f = 0; f < factors; f++) d_item[f] = d_item[f] * step.output.weight[f] + pull * item[f];
        }
        if (!step.layers) continue;
        float *summed = own.gradients.data(), *products = summed + ITEMS_AT_ONCE * width;
        float *bias_sum = item_sums + in_width * width;
        for (int64_t r = 0; r < n; r++) {
            const int32_t begin = start[first + r];
            sum_rows(order + begin, start[first + r + 1] - begin, work.first_error.data(), width, width,
                     summed + r * width, [](int32_t sample) -> int64_t { return sample; },
                     [](int32_t) { return 1.0f; });
#pragma GCC ivdep
            for (int64_t j = 0; j < width; j++) bias_sum[j] += summed[r * width + j];
        }
        const float *items = item_embeddings(step, first, n, own.embeddings.data());
        multiply<ADD>(half, width, n, items, 1, half, summed, width, item_sums, width, summed);
        float *to = step.d_item_mlp + first * half;
        if (half == in_width) {
            multiply<PLAIN>(n, half, step.widths[1], summed, width, 1, work.item_backward.data(), half, to, half,
                            summed);
        } else {
            multiply<PLAIN>(n, in_width, step.widths[1], summed, width, 1, work.item_backward.data(), in_width,
                            products, in_width, summed);
            for (int64_t r = 0; r < n; r++) std::memcpy(to + r * half, products + r * in_width, half * sizeof(float));
        }
        for (int64_t r = 0; r < n; r++) {
            const float pull = step.l2 * step.scale * static_cast<float>(start[first + r + 1] - start[first + r]);
#pragma GCC ivdep
            for (int64_t j = 0; j < half; j++) to[r * half + j] += pull * items[r * half + j];
        }
    }
}

// Sum of `n` numbers over all chunks. Each chunk has `size` numbers; the first one is number `at`.
static inline void sum_of_chunks(Buffer<float> &of, int64_t size, int64_t at, int64_t n, float *to, int64_t stride) {
    for (int64_t j = 0; j < n; j += LANES) {
        Vector sum = Vector{};
        for (int64_t chunk = 0; chunk < CHUNKS; chunk++) sum += load(of.data() + chunk * size + at + j);
        for (int64_t v = 0; v < LANES && j + v < n; v++) to[(j + v) * stride] = sum[v];
    }
}

static void reduce(const Step &step, Workspace &work, const Block &block) {
    const int64_t l = block.layer, in = step.widths[l], out_width = work.width[l + 1], of_all = l ? in : 2 * in;
    float *to = step.weight[l].gradient + block.first * of_all;
    for (int64_t i = 0; i < in; i++)
        sum_of_chunks(work.sums, work.sums_size, work.weight_at[l] + i * out_width + block.first, block.n, to + i,
                      of_all);
    for (int64_t i = 0; i < in && l == 0; i++)
        sum_of_chunks(work.item_sums, work.item_sums_size, i * out_width + block.first, block.n, to + in + i, of_all);
    float *bias = step.bias[l].gradient + block.first;
    if (l)
        sum_of_chunks(work.sums, work.sums_size, work.bias_at[l] + block.first, block.n, bias, 1);
    else
        sum_of_chunks(work.item_sums, work.item_sums_size, work.width[0] * out_width + block.first, block.n, bias, 1);
}

static void reduce_output(const Step &step, Workspace &work) {
    sum_of_chunks(work.sums, work.sums_size, work.output_at, step.output.size, step.output.gradient, 1);
    sum_of_chunks(work.sums, work.sums_size, work.output_bias_at, 1, step.output_bias.gradient, 1);
}

static double gradients(const Step &step, Workspace &work) {
    const auto scratch = [&](int thread) -> Scratch & { return work.scratch[static_cast<size_t>(thread)]; };
    const int64_t all = blocks(step, work);
    work.pool.each(all, [&](int64_t block, int) { pack(step, work, block_at(step, work, block)); });
    if (step.layers)
        work.pool.each(CHUNKS, [&](int64_t c, int thread) { first_layer_of_items(step, work, c, scratch(thread)); });
    work.pool.each(CHUNKS, [&](int64_t c, int thread) { by_user(step, work, c, scratch(thread)); });
    work.pool.each(CHUNKS, [&](int64_t c, int thread) { by_item(step, work, c, scratch(thread)); });
    work.pool.each(all + 1, [&](int64_t block, int) {
        if (block < all)
            reduce(step, work, block_at(step, work, block));
        else
            reduce_output(step, work);
    });
    double loss = 0;
    for (const double of_chunk : work.loss) loss += of_chunk;
    return loss;
}
