/** The model that comes with the program. Executables, which have no files beside them, are built with another file in this one's place. */

import type { ModelSource } from "../index.ts";

export const SHIPPED = "stories-7m.q8_0.gguf";

export const shipped = (): ModelSource => new URL(`../weights/${SHIPPED}`, import.meta.url);
