// Adam (Kingma and Ba 2015, algorithm 1), for one instruction set. The L2 term is added to the gradient, as in
// torch.optim.Adam's weight_decay, except for embeddings: their gradients include it.
//
// Of tables with `last_step`, a step updates only the rows of its samples. It first catches up the steps since the last
// update, in which the gradient was 0: the moments decay, and the row moves by its decaying mean.

static void update(const Adam &adam, int64_t n, float *__restrict weight, float *__restrict mean,
                   float *__restrict square, const float *__restrict gradient, float l2) {
    const float keep_mean = adam.beta1, keep_square = adam.beta2, rate = adam.rate, scale = adam.scale;
    const float epsilon = adam.epsilon;
    if (gradient == nullptr) {
        for (int64_t i = 0; i < n; i++) {
            const float new_mean = keep_mean * mean[i];
            const float new_square = keep_square * square[i];
            mean[i] = new_mean;
            square[i] = new_square;
            weight[i] -= rate * new_mean / (std::sqrt(new_square) * scale + epsilon);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float own = gradient[i] + l2 * weight[i];
        const float new_mean = keep_mean * mean[i] + (1 - keep_mean) * own;
        const float new_square = keep_square * square[i] + (1 - keep_square) * own * own;
        mean[i] = new_mean;
        square[i] = new_square;
        weight[i] -= rate * new_mean / (std::sqrt(new_square) * scale + epsilon);
    }
}

// Bring a row to the end of the previous step.
static void catch_up(const Adam &adam, const Table &table, int64_t row) {
    const int32_t last_step = table.last_step[row];
    const int32_t missed = adam.step - 1 - last_step;
    if (missed <= 0 || last_step == 0) return;  // before the first update, the moments are 0
    const float drift = adam.drift[last_step], scale = adam.scale_after[last_step], epsilon = adam.epsilon;
    const float fade_mean = std::pow(adam.beta1, static_cast<float>(missed));
    const float fade_square = std::pow(adam.beta2, static_cast<float>(missed));
    float *weight = table.weight + row * table.width, *mean = table.mean + row * table.width;
    float *square = table.square + row * table.width;
#pragma GCC ivdep
    for (int64_t i = 0; i < table.width; i++) {
        weight[i] -= drift * mean[i] / (std::sqrt(square[i]) * scale + epsilon);
        mean[i] *= fade_mean;
        square[i] *= fade_square;
    }
}

constexpr int64_t AHEAD = 8;

// One step of a row.
static void update_row(const Adam &adam, const Table &table, int64_t row, const float *gradient) {
    const int64_t at = row * table.width;
    if (row + AHEAD < table.rows)  // other cores have read it
        for (int64_t f = 0; f < table.width; f += 16)
            __builtin_prefetch(table.weight + at + AHEAD * table.width + f, 1);
    if (table.last_step) table.last_step[row] = adam.step;
    update(adam, table.width, table.weight + at, table.mean + at, table.square + at, gradient, 0);
}

static void catch_up_met(const Step &step, Workspace &work) {
    work.pool.each(CHUNKS, [&](int64_t chunk, int) {
        for (const Table *table : {&step.user_gmf, &step.user_mlp})
            for (int64_t p = work.user_cut[chunk]; p < work.user_cut[chunk + 1] && table->last_step; p++)
                if (p == work.user_cut[chunk] || step.users[p] != step.users[p - 1])
                    catch_up(step.adam, *table, step.users[p]);
        for (const Table *table : {&step.item_gmf, &step.item_mlp})
            for (int64_t r = work.item_cut[chunk]; r < work.item_cut[chunk + 1] && table->last_step; r++)
                catch_up(step.adam, *table, step.rows[r]);
    });
}

static void update_users(const Step &step, const Workspace &work, const Table &table, const float *gradients,
                         int64_t chunk) {
    const int64_t begin = work.user_cut[chunk], end = work.user_cut[chunk + 1];
    const auto bound = [&](int64_t position) -> int64_t {
        return position == 0 ? 0 : position < step.positives ? step.users[position] : table.rows;
    };
    int64_t next = bound(begin);  // a dense table's rows without samples move too
    const int64_t stop = chunk + 1 == CHUNKS ? table.rows : bound(end);
    for (int64_t p = begin; p < end; p++) {
        const int64_t user = step.users[p];
        if (p > begin && user == step.users[p - 1]) continue;
        for (; next < user && !table.last_step; next++) update_row(step.adam, table, next, nullptr);
        update_row(step.adam, table, user, gradients + p * table.width);
        next = user + 1;
    }
    for (; next < stop && !table.last_step; next++) update_row(step.adam, table, next, nullptr);
}

static void update_items(const Step &step, const Workspace &work, const Table &table, const float *gradients,
                         int64_t chunk) {
    for (int64_t r = work.item_cut[chunk]; r < work.item_cut[chunk + 1]; r++)
        update_row(step.adam, table, step.rows ? step.rows[r] : r, gradients + r * table.width);
}

static void update_array(const Adam &adam, const Array &array, int64_t chunk) {
    const int64_t begin = array.size * chunk / CHUNKS, end = array.size * (chunk + 1) / CHUNKS;
    update(adam, end - begin, array.weight + begin, array.mean + begin, array.square + begin, array.gradient + begin,
           array.l2);
}

// The chunks are those of the gradients, so the rows are in the cache of the core that updates them.
static void update_all(const Step &step, Workspace &work) {
    work.pool.each(CHUNKS, [&](int64_t chunk, int) {
        if (step.factors) {
            update_users(step, work, step.user_gmf, step.d_user_gmf, chunk);
            update_items(step, work, step.item_gmf, step.d_item_gmf, chunk);
        }
        if (step.layers) {
            update_users(step, work, step.user_mlp, step.d_user_mlp, chunk);
            update_items(step, work, step.item_mlp, step.d_item_mlp, chunk);
        }
        for (int64_t l = 0; l < step.layers; l++) {
            update_array(step.adam, step.weight[l], chunk);
            update_array(step.adam, step.bias[l], chunk);
        }
        update_array(step.adam, step.output, chunk);
        update_array(step.adam, step.output_bias, chunk);
    });
}

// Bring all rows of tables with `last_step` to the end of this step, by gradients of 0.
static void settle(const Step &step, Workspace &work) {
    constexpr int64_t AT_ONCE = 4096;
    for (const Table *table : {&step.user_gmf, &step.user_mlp, &step.item_gmf, &step.item_mlp}) {
        if (!table->last_step) continue;
        work.pool.each((table->rows + AT_ONCE - 1) / AT_ONCE, [&](int64_t part, int) {
            for (int64_t row = part * AT_ONCE; row < std::min(table->rows, (part + 1) * AT_ONCE); row++) {
                if (table->last_step[row] == step.adam.step) continue;
                catch_up(step.adam, *table, row);
                update_row(step.adam, *table, row, nullptr);
            }
        });
    }
}
