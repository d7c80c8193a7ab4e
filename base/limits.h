/* SPDX-License-Identifier: MIT */
/* Every bound in the system: unit, reason, and what happens beyond it. Nothing else in lode may use
 * a bare number as a limit. */
#ifndef LODE_BASE_LIMITS_H
#define LODE_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define LODE_KIB ((size_t)1024)
#define LODE_MIB ((size_t)1024 * 1024)

enum {
    /* json */
    LODE_JSON_DEPTH_MAX =
        64, /* levels; deeper is refused: our own shapes need 8, filters nest a little */
    LODE_JSON_NODES_MAX =
        2000000, /* values of one document: some 200 MB of nodes; number arrays count as one */
    LODE_JSON_PACK_MIN = 16, /* numbers; shorter arrays stay ordinary nodes */

    /* files */
    LODE_WALK_DEPTH_MAX = 64, /* folders below the root; deeper ones are reported as skipped */

    /* model */
    LODE_DIM_MAX = 4096,    /* components of a vector: the largest common encoder has 4,096 */
    LODE_TOKENS_MAX = 8192, /* window of a model; larger configs are refused */
    LODE_SAFETENSORS_HEADER_MAX = 16 << 20, /* bytes; real headers are under 1 MiB */
    LODE_MODEL_CONFIG_MAX = 4 << 20, /* bytes of a model's JSON file; label lists can be long */
    LODE_MODEL_VOCAB_MAX = 2 << 20, /* rows of the word table; the largest common one has 256,000 */
    LODE_MODEL_LAYERS_MAX = 128,    /* the largest BERT has 24 */
    LODE_MODEL_FFN_MAX = 65536,     /* intermediate_size; the largest BERT has 4,096 */
    LODE_MODEL_LABELS_MAX = 1024,   /* of a cross-encoder's classifier; rerankers have 1 to 3 */
    LODE_MODEL_PROMPT_MAX = 4096,   /* bytes of a prompt; longer ones would fill the window */
    LODE_ENCODE_UNIT_MIN = 64,  /* tokens that one thread takes through all layers: fewer would */
    LODE_ENCODE_UNIT_MAX = 256, /* read the weights from memory too often; more leave its cache */
    LODE_ENCODE_SPLIT_MIN = 16, /* tokens a thread; shorter runs are shared by a team, which reads
                                   the weights once */
    LODE_ENCODE_SLICE_TOKENS = 512, /* per thread, the most of one run: more is not quicker */
    LODE_ENCODE_RUN_MIN = 256,      /* tokens a thread that a run may hold however slow the machine
                                  seems: a few texts a run leave threads waiting for each other */
    LODE_QUERY_RUN_MS = 60,    /* of one run, if no single text takes longer: what those wait who */
    LODE_INGEST_RUN_MS = 100,  /* come after it began; how soon a deadline or a cancel is seen */
    LODE_RUN_TEXTS_MAX = 1024, /* joined in one run */
    LODE_RUN_TEXTS_DEVICE_MAX = 4096, /* the same where a run is one piece: short texts that keep a
                                         GPU busy for some milliseconds */
    LODE_QUERY_WAITING_MAX = 16384,   /* tokens: one or two seconds of work; who comes then is told
                                       when to come back */
    LODE_INGEST_CALLS_MAX = 16, /* calls of clients: half of the fewest HTTP workers, so that bulk
                                   requests never hold all of them */
    LODE_INGEST_CALLS_DEVICE_MAX = 2048, /* the same on a GPU, which needs a thousand short requests
                                            at once to be busy */
    LODE_INGEST_NICE = 10, /* of ingest threads, a server's and a command's: against queries that
                              want all of the processors they get a tenth. At 5 a query's p99 was
                              five times idle beside an indexing command; at 10 it is twice */
    LODE_RETRY_AFTER_MAX = 60, /* seconds a refused client is told to wait */

    /* tokenizer */
    LODE_TOKENIZER_FILE_MAX = 32 << 20, /* bytes of tokenizer.json; the largest common one has 17 */
    LODE_TOKENIZER_MEM_MAX = 512 << 20, /* bytes of its strings: far above what such a file holds */
    LODE_PIECE_MAX = 1024,         /* bytes of a piece or an added token; real ones: under 100 */
    LODE_ADDED_TOKENS_MAX = 65536, /* real files have 5 to 1,000 */
    LODE_SPECIALS_MAX = 16,        /* special tokens on one side of a text; BERT has 1 */

    /* data */
    LODE_NAME_MAX = 64,         /* bytes of a collection name, [A-Za-z0-9_-] */
    LODE_DOC_ID_MAX = 1024,     /* bytes of a document id; longer is refused */
    LODE_PAYLOAD_MAX = 1 << 20, /* bytes of a point's JSON; it is read whole for every hit */
    LODE_DOC_TEXT_MAX =
        32 << 20, /* bytes of one document's text: its chunks must fit one transaction */
    LODE_DOC_CHUNKS_MAX = 65536,   /* chunks of one document, for the same reason */
    LODE_HEADING_MAX = 512,        /* bytes of a heading path; longer ones are cut at a character */
    LODE_COLLECTIONS_MAX = 10000,  /* per data directory */
    LODE_KEYS_MAX = 1000,          /* API keys per data directory */
    LODE_DOC_FIELD_MAX = 1 << 16,  /* bytes of a document's title, source or root; read per hit */
    LODE_JOB_FIELD_MAX = 64 << 20, /* bytes of a job's input or its list of failures */
    LODE_LOG_ENTRIES_MAX = 100000, /* changes kept in the feed; older commits are trimmed */
    LODE_GROUP_BYTES = 8 << 20, /* of batches that share a commit: what one sync writes quickly */
    LODE_GROUP_MS = 50,         /* of gathering batches into one commit: what a writer waits */

    /* search */
    LODE_K_MAX = 1000,      /* hits of one query (limit + offset <= LODE_K_MAX + LODE_OFFSET_MAX) */
    LODE_OFFSET_MAX = 9000, /* deeper paging is scroll's job */
    LODE_EF_MAX = 4096,     /* HNSW search width; beyond it exact search is faster */
    LODE_HNSW_M = 16,       /* links of a node; 24 gains little recall for half as much memory */
    LODE_HNSW_EF_CONSTRUCTION = 100,  /* width while building; Qdrant's and hnswlib's usual value */
    LODE_FILTER_NODES_MAX = 256,      /* conditions of one filter */
    LODE_FILTER_VALUES_MAX = 65536,   /* values of one any, except or has_id list */
    LODE_FILTER_PATH_MAX = 16,        /* steps of a payload path; deeper payloads are rare */
    LODE_FILTER_BYTES_MAX = 32 << 20, /* memory of one compiled filter: bounded by its request */
    LODE_SCROLL_MAX = 10000,          /* points of one scroll page */
    LODE_EXACT_ROWS_MIN = 20000,  /* candidates; at or below it exact search takes a fraction of a
                                     millisecond, so a graph has nothing to win */
    LODE_GRAPH_STEP_ROWS = 160,   /* candidates scanned exactly in twice the time of one step of ef
                                     in the graph: the planner's break-even, measured */
    LODE_DEVICE_ROWS_RATIO = 32,  /* rows that a device compares in the time of one here; from
                                     memory bandwidths, not yet measured on a device */
    LODE_GRAPH_SHARE_MIN = 2,     /* percent of the rows a filter must leave for a graph walk */
    LODE_QUERY_TERMS_MAX = 64,    /* words of a query that the highlighter looks for */
    LODE_RUN_MAX = 100,           /* hits of an evaluated query: the deepest measure's cut */
    LODE_EVAL_FILE_MAX = 1 << 30, /* bytes of a queries or judgement file */

    /* api */
    LODE_API_ARENA_MAX =
        512 << 20, /* bytes of one request's working memory; far above what a full body needs */
    LODE_QUERY_LANE_TEXTS = 8, /* texts; a larger embeddings request goes with the ingest lane, so
                                  that it does not hold up queries */
    LODE_QUERY_LANE_TEXTS_GPU = 256, /* the same with a GPU: some ten milliseconds of one */
    LODE_TIMEOUT_DEFAULT = 300,      /* seconds; clients and proxies have given up by then */
    LODE_TIMEOUT_MAX = 86400,        /* seconds of ?timeout= and --request-timeout: a day */
    LODE_JOB_WAIT_MS = 25000, /* ms a request waits for its job; then 202 and the job's state */

    /* http */
    LODE_HTTP_LINE_MAX = 8192,           /* bytes of the request line */
    LODE_HTTP_HEADERS_BYTES_MAX = 16384, /* bytes of all header lines */
    LODE_HTTP_HEADERS_MAX = 64,          /* header lines */
    LODE_HTTP_BODY_MAX = 32 << 20,       /* bytes; Qdrant's default, more gets 413 */
    LODE_HTTP_CONNECTIONS_MAX = 10000,   /* then the listener pauses */
    LODE_HTTP_HEADERS_MS = 10000,        /* from the first byte to the end of the headers */
    LODE_HTTP_BODY_MS = 30000,           /* for the whole request, + 1 s per MiB of its body */
    LODE_HTTP_WRITE_MS = 60000,          /* for a reply to be taken by the client */
    LODE_HTTP_IDLE_MS = 60000,           /* between requests of a connection */
    LODE_HTTP_CHUNK_LINE_MAX = 256,      /* bytes of a chunk-size line with its extensions */
    LODE_HTTP_CHUNK_SLACK = 16384,   /* bytes of chunk framing beyond 16 a chunk and the data's own
                                        length; more is a client that burns our time, 400 */
    LODE_HTTP_READ_AHEAD = 16384,    /* bytes taken from a socket before they are needed */
    LODE_HTTP_KEEP_BYTES = 4096,     /* of a buffer that stays allocated for the next request */
    LODE_HTTP_SEGMENTS_MAX = 16,     /* of a path; no route has more, so longer ones get 404 */
    LODE_HTTP_PARAMS_MAX = 4,        /* {names} of a route: lode_request.params */
    LODE_HTTP_REPLY_MAX = 256 << 20, /* bytes of one reply's body; a handler beyond gets an error */
    LODE_HTTP_REPLY_HEADERS_MAX = 16384, /* bytes of the header lines a handler adds */
    LODE_HTTP_ARENA_MAX = 1 << 30,       /* bytes of a request's arena: 32 MiB of JSON as nodes */
    LODE_HTTP_ARENA_KEEP = 1 << 20, /* bytes used; a worker's arena beyond gives its memory back */
    LODE_HTTP_BODIES_MAX = 1 << 30, /* bytes of all bodies held at once; more get 503 at once */
    LODE_HTTP_LINGER_MS = 2000,     /* how long a refused client may go on sending unread */
    LODE_HTTP_SWEEP_MS = 500,       /* how often deadlines are looked at */
    LODE_HTTP_LOOPS_MAX = 16,       /* event loops; one moves some 50,000 requests/s */
    LODE_HTTP_WORKERS_MAX = 4096,   /* threads for handlers; each keeps some 20 KiB, waiting */
    LODE_HTTP_WORKERS_GPU = 1088,   /* with a GPU, whose runs want texts by the thousand: 1,024 that
                                       wait for it, and 64 for what needs no model */
    LODE_HTTP_QUEUE_MAX = 1024,  /* requests waiting for a worker; more get 503 with Retry-After */
    LODE_EMBED_BATCH_MAX = 2048, /* texts in one embeddings request (OpenAI's own bound) */
    LODE_EMBED_TEXT_MAX = 1 << 20, /* bytes of one text to embed; far beyond any window */
    LODE_POINTS_BATCH_MAX =
        100000, /* points in one upsert; the body cap bites first for real vectors */

    /* readers and chunkers */
    LODE_READ_FILE_MAX = 64 << 20,   /* bytes of a file read whole; larger ones are listed as failed
                                        (JSON lines are read in pieces and have no such bound) */
    LODE_READ_PIECE = 8 << 20,       /* bytes of JSON lines read at a time */
    LODE_READ_SNIFF = 8192,          /* leading bytes that decide between text and binary */
    LODE_TITLE_MAX = 4096,           /* bytes of a title; longer ones are cut at a character */
    LODE_HEADINGS_MAX = 65536,       /* heading marks of one document; later headings stay text */
    LODE_COLUMNS_MAX = 4096,         /* columns of a CSV file; wider ones are refused */
    LODE_CHUNK_TOKENS_DEFAULT = 200, /* tokens; 200-400 retrieve best, windows start at 256 */
    LODE_CHUNK_TOKENS_MIN = 24, /* tokens; a shorter section is joined with the one behind it */
    LODE_CHUNK_UNIT_MAX = 8192, /* bytes of one sentence; longer ones are cut at white space */
    LODE_CHUNK_BYTES_MAX = 32 << 10, /* bytes of a chunk: words unknown to the model are one token
                                        however long they are */
    LODE_CHUNK_PIECE = 64 << 10,     /* bytes tokenised at a time */

    /* ingest */
    LODE_INGEST_QUEUE_MAX = 256,        /* documents waiting for a stage; a full queue blocks, never
                                          drops */
    LODE_INGEST_BYTES_MAX = 64 << 20,   /* of documents read and not yet committed; then reading
                                          waits (one larger document goes alone) */
    LODE_INGEST_BATCH_TOKENS = 8192,    /* tokens of one embedding call: enough to sort by length,
                                          short enough to be stopped within seconds */
    LODE_INGEST_COMMIT_DOCUMENTS = 64,  /* of one commit, or */
    LODE_INGEST_COMMIT_BYTES = 4 << 20, /* bytes of one commit, whichever comes first */
    LODE_INGEST_PROGRESS_MS = 200,      /* between two progress reports */
    LODE_EMBED_SAVE_MS = 3000,          /* that a new vector waits for company before it is saved */
    LODE_EMBED_SAVE_ROWS = 256,         /* vectors of one such write, 0.4 MiB at 384 components: no
                                          other writer waits for long */
    LODE_EMBED_SAVE_WAITING = 8192,     /* vectors to save; more are kept in memory only */
    LODE_EMBED_SAVE_RETRY_MS = 30000,   /* after a save that failed, as on a full disk */
    LODE_JOBS_KEPT = 1000,              /* finished jobs; older ones are deleted */
    LODE_JOB_FAILED_MAX = 100,          /* failures listed in a job; the rest is counted */
    LODE_JOB_SAVE_MS = 1000,            /* between two records of a running job's progress */
};

#endif
