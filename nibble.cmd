@echo off
rem Builds Nibble once, then runs it.
set "root=%~dp0"
set "program=%root%src\Nibble.Cli\bin\Release\net10.0\nibble.dll"
if not exist "%program%" (
  echo nibble: building ^(once^)... 1>&2
  dotnet build "%root%src\Nibble.Cli" -c Release --nologo -v quiet 1>&2 || exit /b 1
)
dotnet "%program%" %*
