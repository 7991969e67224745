// Parses AsyncAPI documents with the official parser. For each file named, one line of JSON on the standard output:
// {"problems": [...], "document": the dereferenced document, or null where it is refused}.
'use strict';
const fs = require('fs');
const { Parser, DiagnosticSeverity } = require('@asyncapi/parser');

async function main(files) {
  const parser = new Parser();
  for (const file of files) {
    const { document, diagnostics } = await parser.parse(fs.readFileSync(file, 'utf8'), { source: file });
    const problems = diagnostics.map((one) => ({
      code: String(one.code),
      severity: DiagnosticSeverity[one.severity],
      message: `line ${one.range.start.line + 1}, ${one.path.join('.')}: ${one.message}`,
    }));
    console.log(JSON.stringify({ problems, document: document ? document.json() : null }));
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
