-- SPDX-License-Identifier: MIT
-- Text queries a second through HTTP, embedding only: short questions to /v1/embeddings, base64 replies as the SDKs ask for.
--
-- usage: wrk -t1 -c32 -d15s --latency -s http_embed.lua http://127.0.0.1:8080 [-- MODE [MODEL]]
-- MODE distinct (default): no text comes twice, in this run or another, so no cache helps.
-- MODE repeats: 200 texts over and over. MODE mixed: half of the requests are repeats.
-- A text has some 16 tokens. Prints wrk's report and one JSON line; any reply other than 200 is counted as an error there.

local words = {"how", "does", "the", "server", "keep", "old", "rows", "while", "a", "backup", "runs", "and", "which", "index", "is", "used",
               "when", "two", "tables", "are", "joined", "by", "date", "why", "can", "slow", "queries", "block", "other", "writers", "in", "time"}
local kept, count = {}, 0
local threads = 0

function setup(thread)
    thread:set("number", threads)
    threads = threads + 1
end

-- Eleven words and a number of up to six digits (three or so tokens), which alone makes a text new.
local function text(n)
    local out = {}
    for i = 1, 11 do out[i] = words[math.random(#words)] end
    return table.concat(out, " ") .. " " .. n
end

local function body_of(n)
    return '{"model":"' .. model .. '","encoding_format":"base64","input":"' .. text(n) .. '"}'
end

function init(args)
    mode, model = args[1] or "distinct", args[2] or "all-MiniLM-L6-v2"
    if mode ~= "distinct" and mode ~= "repeats" and mode ~= "mixed" then error("MODE must be distinct, repeats or mixed") end
    wrk.method = "POST"
    wrk.path = "/v1/embeddings"
    wrk.headers["Content-Type"] = "application/json"
    local key = os.getenv("LODE_API_KEY")
    if key then wrk.headers["Authorization"] = "Bearer " .. key end
    math.randomseed(4 + number)
    for i = 1, 200 do kept[i] = body_of(i) end
    if mode ~= "repeats" then math.randomseed(os.time() * 64 + number) end
end

function request()
    count = count + 1
    if mode == "repeats" or (mode == "mixed" and count % 2 == 0) then return wrk.format(nil, nil, nil, kept[math.random(#kept)]) end
    return wrk.format(nil, nil, nil, body_of(count))
end

function done(summary, latency)
    local errors = summary.errors
    local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format('{"queries_per_s":%.1f,"p50_ms":%.2f,"p95_ms":%.2f,"p99_ms":%.2f,"requests":%d,"errors":%d}',
        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
        latency:percentile(99) / 1e3, summary.requests, bad))
end
