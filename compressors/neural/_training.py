"""Kernels of the training: tables are read and written a row at a time, so a step costs what it touches.

Floating point, deterministic on one machine; nothing of it is on the coding path.

`train` calls them once a step; the matrix products between them are NumPy's. Shapes: rows (batch,
features), x and dx (batch, inputs), table flat, start and width (features,).
"""

import numpy as np

from compressors.kernels import allocating


@allocating
def gather(rows, start, width, table, x):
    """x (batch, inputs) = the rows of each feature's table, rounded as the integer model has them."""
    for i in range(rows.shape[0]):
        at = 0
        for f in range(rows.shape[1]):
            # A feature's table lies at start[f] in the flat array, width[f] numbers a row.
            first = start[f] + np.int64(rows[i, f]) * width[f]
            for d in range(width[f]):
                x[i, at + d] = np.float32(np.rint(table[first + d]))
            at += width[f]


@allocating
def scatter(rows, start, first_row, width, table, squares, dx, rate):
    """Adagrad with one accumulator a row (Duchi et al. 2011): each sample in turn."""
    limit = np.float32(127)
    for i in range(rows.shape[0]):
        at = 0
        for f in range(rows.shape[1]):
            first, row = start[f] + np.int64(rows[i, f]) * width[f], first_row[f] + np.int64(rows[i, f])
            total = np.float32(0)
            for d in range(width[f]):
                total += dx[i, at + d] * dx[i, at + d]
            if total > np.float32(0):
                # One accumulator for the whole row: the step is divided by the root of its mean
                # square.
                squares[row] += total
                step = rate / np.sqrt(squares[row] / np.float32(width[f]))
                for d in range(width[f]):
                    value = table[first + d] - step * dx[i, at + d]
                    table[first + d] = min(max(value, -limit), limit)
            at += width[f]


@allocating
def nodes(hidden, hidden_int, weight_int, weight, bias, scale, data, d_hidden, d_weight, d_bias):
    """Loss in nats of the eight binary decisions of each byte, and its gradients (added to d_weight and d_bias)."""
    loss, n = 0.0, hidden.shape[1]
    for i in range(len(data)):
        # The eight bits of a byte walk down a binary tree of 255 nodes, the root is 1.
        node = 1
        d_hidden[i, :] = np.float32(0)
        for k in range(8):
            bit = (data[i] >> (7 - k)) & 1
            total = np.int32(0)
            for j in range(n):
                total += np.int32(hidden_int[i, j]) * np.int32(weight_int[node, j])
            z = (np.float32(total) + bias[node]) * scale
            loss += np.log1p(np.exp(-z if bit else z))
            # The gradient of the loss: the probability of a 1, less the bit.
            g = np.float32(1) / (np.float32(1) + np.exp(-z)) - np.float32(bit)
            d_bias[node] += g
            for j in range(n):
                d_hidden[i, j] += g * weight[node, j]
            for j in range(n):
                d_weight[node, j] += g * hidden[i, j]
            node = 2 * node + bit
    return loss


@allocating
def adam(p, g, m, v, rate, unbias1, unbias2, limit):
    """One step of Adam (Kingma and Ba 2014, 0.9 and 0.995) on flat float32 arrays; |p| stays within `limit`."""
    for i in range(p.size):
        m[i] += np.float32(0.1) * (g[i] - m[i])
        v[i] += np.float32(0.005) * (g[i] * g[i] - v[i])
        value = p[i] - rate * (m[i] * unbias1) / (np.sqrt(v[i] * unbias2) + np.float32(1e-12))
        p[i] = min(max(value, -limit), limit)
